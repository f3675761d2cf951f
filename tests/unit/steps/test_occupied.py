"""What the host uses, and what of it a subnet overlaps."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from linkspan.cni.addresses import bridge_mac
from linkspan.host.memory import MemoryHost
from linkspan.steps.occupied import Used, conflicts, overlaps, used_by_host, wide_routes


@pytest.fixture
def host() -> MemoryHost:
    """A LAN on eth0 with a default route, and a bridge of ours with a link in a VLAN."""
    made = MemoryHost()
    links = made.links()
    links.create_bridge("eth0")
    links.change("eth0", up=True)
    links.add_address("eth0", "198.51.100.10/24")
    links.add_route("0.0.0.0/0", ifname="eth0", gw="198.51.100.1")
    links.create_bridge("br0", mac=bridge_mac("br0"))
    links.create_vlan("br0.7", link="br0", vlan=7)
    links.add_address("br0", "10.5.0.1/24")
    links.add_address("br0.7", "10.7.0.1/24")
    return made


def used(host: MemoryHost, *except_links: str) -> dict[str, Used]:
    return {str(each.network): each for each in used_by_host(host, except_links=except_links)}


def test_bridges_of_ours_and_their_links_in_vlans_are_told_from_others(host: MemoryHost) -> None:
    assert {name for name, each in used(host).items() if each.ours} == {"10.5.0.0/24", "10.7.0.0/24"}


def test_a_bridge_with_another_mac_address_is_not_ours(host: MemoryHost) -> None:
    host.links().create_bridge("docker0", mac="02:42:00:00:00:01")
    host.links().add_address("docker0", "172.17.0.1/16")
    assert not used(host)["172.17.0.0/16"].ours


def test_links_can_be_left_out(host: MemoryHost) -> None:
    assert {"10.5.0.0/24", "10.7.0.0/24"}.isdisjoint(used(host, "br0", "br0.7"))


def test_addresses_of_the_loopback_interface_are_used(host: MemoryHost) -> None:
    host.links().add_address("lo", "192.0.2.1/32")
    assert used(host)["192.0.2.1/32"].by == "link lo"


def test_a_port_of_a_bridge_is_not_asked_for_addresses(host: MemoryHost) -> None:
    host.add_netns("/run/netns/a")
    links = host.links()
    links.create_veth("port0", mac="", peer="eth0", peer_mac="", peer_netns="/run/netns/a")
    links.change("port0", master="br0")
    host.requests.clear()
    assert used(host)
    asked = [name for name, _ in host.requests].count("links.addresses")
    assert asked == len(links.all()) - 1


def entry(network: str, *, strict: bool = True) -> Used:
    return Used(ip_network(network), "test", strict)


def test_a_default_route_overlaps_no_subnet() -> None:
    both = [entry("0.0.0.0/0"), entry("10.0.0.0/8")]
    assert overlaps(ip_network("10.5.0.0/24"), both) == both[1:]


@pytest.mark.parametrize(
    ("present", "strict", "conflict", "wide"),
    [
        ("10.5.0.7/32", True, True, False),  # an address or a next hop
        ("10.0.0.0/8", True, True, False),  # a connected network that is wider
        ("10.0.0.0/8", False, False, True),  # a route of a VPN
        ("10.5.0.0/24", False, True, False),  # a route to just these addresses
        ("10.5.0.0/28", False, True, False),
        ("10.6.0.0/24", True, False, False),
        ("fd00::/8", True, False, False),
    ],
)
def test_everything_but_a_wider_route_is_a_conflict(
    present: str, *, strict: bool, conflict: bool, wide: bool
) -> None:
    requested, there = ip_network("10.5.0.0/24"), [entry(present, strict=strict)]
    assert (bool(conflicts(requested, there)), bool(wide_routes(requested, there))) == (conflict, wide)
