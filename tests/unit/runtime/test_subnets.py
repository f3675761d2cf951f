"""Subnets, gateways and ranges that belong together, with Docker's texts for those that do not."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from linkspan.runtime.network import Subnet
from linkspan.runtime.pools import ula_pool
from linkspan.runtime.subnets import (
    InvalidAddress,
    PoolOverlap,
    PoolsExhausted,
    completed,
    in_wide_routes,
    next_free,
    pair,
)
from linkspan.steps.occupied import Used

ULA = ula_pool("test")


def used(network: str, *, strict: bool = True) -> Used:
    return Used(ip_network(network), "test", strict)


def test_gateways_and_ranges_go_to_the_subnet_they_lie_in() -> None:
    found = pair(
        ["10.5.0.0/24", "fd00:5::/64"],
        ["fd00:5::ff", "10.5.0.254"],
        ["10.5.0.128/25"],
        {"router": "10.5.0.7"},
    )
    assert found == (
        Subnet(
            subnet="10.5.0.0/24",
            gateway="10.5.0.254",
            ip_range="10.5.0.128/25",
            auxiliary={"router": "10.5.0.7"},
        ),
        Subnet(subnet="fd00:5::/64", gateway="fd00:5::ff"),
    )


@pytest.mark.parametrize(
    ("subnets", "gateways", "ranges", "text"),
    [
        (["10.5.0.5/24"], [], [], "invalid subnet 10.5.0.5/24: it should be 10.5.0.0/24"),
        (["10.5.0.0"], [], [], "the prefix length is missing"),
        (["ten/8"], [], [], "not in CIDR notation"),
        (["10.5.0.0/31"], [], [], "no address for a container"),
        (["10.5.0.0/24", "10.6.0.0/24"], [], [], "doesn't support multiple subnets"),
        ([], ["10.5.0.1"], [], "no matching subnet for gateway 10.5.0.1"),
        (["10.5.0.0/24"], ["10.6.0.1"], [], "no matching subnet for gateway 10.6.0.1"),
        (["10.5.0.0/24"], ["10.5.0.1", "10.5.0.2"], [], "cannot configure multiple gateways"),
        (["10.5.0.0/24"], ["10.5.0.255"], [], "no interface can have this address"),
        (["10.5.0.0/24"], ["gw"], [], "not an address"),
        (["10.5.0.0/24"], [], ["10.0.0.0/8"], "bigger than its parent subnet"),
        (["10.5.0.0/24"], [], ["10.5.0.129/25"], "it should be 10.5.0.128/25"),
        (["10.5.0.0/24"], [], ["10.5.0.0/26", "10.5.0.64/26"], "cannot configure multiple ranges"),
        (["10.5.0.0/24"], [], ["10.6.0.0/26"], "no matching subnet for range"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    subnets: list[str], gateways: list[str], ranges: list[str], text: str
) -> None:
    with pytest.raises(InvalidAddress) as caught:
        pair(subnets, gateways, ranges, {})
    assert text in str(caught.value)


def test_a_family_without_a_subnet_gets_one_and_a_gateway() -> None:
    found = completed([], [4, 6], [], ULA)
    assert [(each.subnet, each.gateway) for each in found] == [
        ("172.17.0.0/16", "172.17.0.1"),
        (ULA.base.replace("/48", "/64"), ULA.base.replace("/48", "1")),
    ]


def test_the_ipv4_subnet_comes_first_whatever_was_given() -> None:
    found = completed([Subnet(subnet="fd00:5::/64")], [4, 6], [], ULA)
    assert [each.is_ipv6 for each in found] == [False, True]


def test_a_subnet_that_another_uses_is_refused_with_its_user() -> None:
    with pytest.raises(PoolOverlap) as caught:
        completed([Subnet(subnet="10.5.0.0/24")], [4], [used("10.5.0.0/16")], ULA)
    assert caught.value.used == [used("10.5.0.0/16")]


@pytest.mark.parametrize("route", ["10.5.0.0/24", "10.5.0.0/28", "10.5.0.7/32"])
def test_a_subnet_that_contains_a_route_of_the_host_is_refused(route: str) -> None:
    with pytest.raises(PoolOverlap):
        completed([Subnet(subnet="10.5.0.0/24")], [4], [used(route, strict=False)], ULA)


def test_a_subnet_inside_a_wide_route_is_told() -> None:
    route = used("10.0.0.0/8", strict=False)
    found = completed([Subnet(subnet="10.5.0.0/24")], [4], [route], ULA)
    assert in_wide_routes(found, [route]) == [("10.5.0.0/24", route)]


def test_a_chosen_subnet_avoids_wide_routes_too() -> None:
    assert str(next_free(4, [used("172.16.0.0/12", strict=False)], ULA)) == "192.168.0.0/20"


def test_exhausted_pools_name_what_is_in_use() -> None:
    everything = [used("172.16.0.0/12"), used("192.168.0.0/16"), used("10.0.0.0/8"), used("fd00::/8")]
    with pytest.raises(PoolsExhausted) as caught:
        completed([], [4], everything, ULA)
    assert caught.value.used == everything[:3]
