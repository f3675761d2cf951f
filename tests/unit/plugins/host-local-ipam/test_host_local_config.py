"""host-local's configuration: which ranges there may be, and what they allocate in which order."""

from __future__ import annotations

from typing import Any

import pytest

from cni_host_local_ipam.config import RangeSet, range_sets
from linkspan.cni.addresses import parse_ip
from linkspan.cni.errors import InvalidConfig


def one_set(*ranges: dict[str, str]) -> RangeSet:
    return range_sets([("$.ipam.ranges[0]", list(ranges))])[0]


def texts(ips: Any) -> list[str]:
    return [str(ip) for ip in ips]


@pytest.mark.parametrize(
    ("value", "handed_out"),
    [
        ({"subnet": "10.5.0.0/29"}, [f"10.5.0.{each}" for each in (2, 3, 4, 5, 6)]),
        ({"subnet": "10.5.0.0/29", "gateway": "10.5.0.3"}, [f"10.5.0.{each}" for each in (1, 2, 4, 5, 6)]),
        ({"subnet": "10.5.0.0/29", "gateway": "10.6.0.1"}, [f"10.5.0.{each}" for each in range(1, 7)]),
        ({"subnet": "fd00::/126", "gateway": "fe80::1"}, ["fd00::1", "fd00::2", "fd00::3"]),
        ({"subnet": "10.5.0.0/24", "rangeStart": "10.5.0.9", "rangeEnd": "10.5.0.10"},
         ["10.5.0.9", "10.5.0.10"]),
        ({"subnet": "10.5.0.0/30", "rangeStart": "10.5.0.0", "rangeEnd": "10.5.0.3"}, ["10.5.0.2"]),
        ({"subnet": "10.5.0.0/31"}, ["10.5.0.0"]),
        ({"subnet": "10.5.0.7/32"}, ["10.5.0.7"]),
        ({"subnet": "fd00::/126"}, ["fd00::2", "fd00::3"]),
        ({"subnet": "fd00::5/128"}, ["fd00::5"]),
    ],
    ids=lambda value: str(value)[:50],
)  # fmt: skip
def test_a_range_hands_out_its_addresses_but_the_gateway(
    value: dict[str, str], handed_out: list[str]
) -> None:
    found = one_set(value)
    assert texts(found.candidates(None)) == handed_out
    assert found.size == len(handed_out)


def test_round_robin_begins_behind_the_last_and_goes_through_all_ranges_once() -> None:
    two = one_set({"subnet": "10.5.0.0/30"}, {"subnet": "10.6.0.0/29"})
    after = parse_ip("10.6.0.4")
    assert texts(two.candidates(after)) == [
        "10.6.0.5",
        "10.6.0.6",
        "10.5.0.2",
        "10.6.0.2",
        "10.6.0.3",
        "10.6.0.4",
    ]


def test_a_last_address_that_is_of_no_range_any_more_begins_anew() -> None:
    found = one_set({"subnet": "10.5.0.0/30"})
    assert texts(found.candidates(parse_ip("10.9.0.1"))) == ["10.5.0.2"]


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ([], "empty range set"),
        ([{"subnet": "10.5.0.0/24"}, {"subnet": "fd00::/64"}], "mixed address families"),
        ([{"subnet": "10.5.0.0/24"}, {"subnet": "10.5.0.0/25"}], "overlap"),
        ([{"subnet": "10.5.0.1/24"}], "host bits set"),
        ([{"subnet": "10.5.0.0"}], "CIDR"),
        ([{"subnet": "10.5.0.0/33"}], "longer than 32"),
        ([{"subnet": "10.5.0.0/24", "rangeStart": "10.6.0.1"}], "RangeStart 10.6.0.1 not in network"),
        ([{"subnet": "10.5.0.0/24", "rangeEnd": "10.6.0.1"}], "RangeEnd 10.6.0.1 not in network"),
        ([{"subnet": "10.5.0.0/24", "rangeStart": "10.5.0.9", "rangeEnd": "10.5.0.8"}], "no address between"),
        ([{"subnet": "10.5.0.0/24", "gateway": "fd00::1"}], "gateway fd00::1 is of another address family"),
        ([{"subnet": "10.5.0.0/24", "rangeStart": "10.5.0.1", "rangeEnd": "10.5.0.1"}],
         "no address to allocate"),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_a_range_set_that_cannot_be_is_told(ranges: list[dict[str, str]], words: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        one_set(*ranges)
    assert words in caught.value.msg
    assert caught.value.msg.startswith("$.ipam.ranges[0]")


def test_two_range_sets_that_overlap_are_told() -> None:
    with pytest.raises(InvalidConfig, match="range set 0 overlaps with 1"):
        range_sets([("$.a", [{"subnet": "10.5.0.0/24"}]), ("$.b", [{"subnet": "10.5.0.128/25"}])])
