"""The choice of a subnet: Docker's order, around whatever is used."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from linkspan.runtime.pools import POOLS_V4, Pool, first_free, ula_pool
from linkspan.steps.occupied import Used


def used(*networks: str, strict: bool = True) -> list[Used]:
    return [Used(ip_network(each), f"test {each}", strict) for each in networks]


def allocated(count: int, *taken: str) -> list[str]:
    """The subnets that so many networks get, one after the other."""
    found: list[str] = []
    for _ in range(count):
        found.append(str(first_free(POOLS_V4, used(*taken, *found))))
    return found


def test_subnets_come_in_dockers_order() -> None:
    assert allocated(4) == ["172.17.0.0/16", "172.18.0.0/16", "172.19.0.0/16", "172.20.0.0/16"]


def test_after_dockers_first_pools_subnets_are_smaller() -> None:
    found = allocated(32)
    assert found[14:17] == ["172.31.0.0/16", "192.168.0.0/20", "192.168.16.0/20"]
    assert found[-1] == "10.0.0.0/24"


@pytest.mark.parametrize(
    ("taken", "wanted"),
    [
        ("172.17.128.0/24", "172.18.0.0/16"),  # a part of a subnet
        ("172.16.0.0/12", "192.168.0.0/20"),  # more than a pool
        ("172.20.0.0/16", "172.17.0.0/16"),  # another one
        ("fd00::/8", "172.17.0.0/16"),  # the other family
    ],
)
def test_a_subnet_overlaps_nothing_that_is_used(taken: str, wanted: str) -> None:
    assert str(first_free(POOLS_V4, used(taken))) == wanted


def test_a_used_range_inside_a_pool_is_stepped_over() -> None:
    pools = (Pool("192.168.0.0/16", 20),)
    assert str(first_free(pools, used("192.168.0.0/25", "192.168.20.7/32"))) == "192.168.32.0/20"


def test_exhausted_pools_have_no_subnet() -> None:
    assert first_free((Pool("172.17.0.0/16", 16),), used("172.17.3.0/24")) is None


def test_thousands_of_used_ranges_take_no_noticeable_time() -> None:
    taken = [f"10.{a}.{b}.0/24" for a in range(8) for b in range(256)]
    blocked = ("172.16.0.0/12", "192.168.0.0/16")
    assert str(first_free(POOLS_V4, used(*blocked, *taken))) == "10.8.0.0/24"


def test_ipv6_subnets_are_of_a_private_prefix_of_the_machine() -> None:
    one, other = ula_pool("machine-a"), ula_pool("machine-b")
    assert one.base != other.base
    assert one == ula_pool("machine-a")
    assert ip_network(one.base).subnet_of(ip_network("fd00::/8"))  # type: ignore[arg-type]
    assert str(first_free((one,), [])) == one.base.replace("/48", "/64")
