"""What a new network must fit, on a host in memory."""

from __future__ import annotations

import pytest

from linkspan.host.memory import MemoryHost
from linkspan.runtime import occupied


@pytest.fixture
def host() -> MemoryHost:
    """A LAN on eth0 with a default route, and an empty bridge."""
    made = MemoryHost()
    links = made.links()
    links.create_bridge("eth0", mtu=1420)
    links.change("eth0", up=True)
    links.add_address("eth0", "198.51.100.10/24")
    links.add_route("0.0.0.0/0", ifname="eth0", gw="198.51.100.1")
    links.create_bridge("br0")
    return made


def used(host: MemoryHost, except_link: str = "") -> dict[str, str]:
    return {str(each.network): each.by for each in occupied.used(host, except_link=except_link)}


def test_connected_networks_next_hops_routes_and_name_servers_are_used(host: MemoryHost) -> None:
    host.links().add_route("10.0.0.0/8", ifname="eth0", gw="198.51.100.7")
    host.files.write(
        occupied.RESOLV_CONF, b"# x\nnameserver 192.168.7.53\nnameserver fe80::1%eth0\nsearch a\n"
    )
    assert used(host) == {
        "198.51.100.0/24": "link eth0",
        "198.51.100.1/32": "next hop of the route to 0.0.0.0/0",
        "198.51.100.7/32": "next hop of the route to 10.0.0.0/8",
        "10.0.0.0/8": "route through eth0",
        "192.168.7.53/32": "name server in /etc/resolv.conf",
        "fe80::1/128": "name server in /etc/resolv.conf",
    }


def test_only_a_route_may_be_wider_than_a_subnet(host: MemoryHost) -> None:
    host.links().add_route("10.0.0.0/8", ifname="eth0", gw="198.51.100.7")
    strict = {str(each.network) for each in occupied.used(host) if each.strict}
    assert "10.0.0.0/8" not in strict
    assert "198.51.100.0/24" in strict


def test_a_bridge_that_will_be_the_networks_own_is_no_obstacle(host: MemoryHost) -> None:
    host.links().add_address("br0", "10.5.0.1/24")
    assert "10.5.0.0/24" in used(host)
    assert "10.5.0.0/24" not in used(host, except_link="br0")


def test_the_mtu_is_that_of_the_default_routes_link(host: MemoryHost) -> None:
    assert occupied.default_mtu(host.links()) == 1420
    assert occupied.default_mtu(MemoryHost().links()) == 0


def test_of_two_default_routes_the_preferred_one_counts(host: MemoryHost) -> None:
    links = host.links()
    links.create_bridge("wg0", mtu=1280)
    links.change("wg0", up=True)
    links.add_route("0.0.0.0/0", ifname="wg0", priority=50)
    # eth0's has the priority 0
    assert occupied.default_mtu(links) == 1420


def test_a_machine_without_an_id_has_its_host_name() -> None:
    host = MemoryHost()
    assert occupied.machine_id(host)
    host.files.write(occupied.MACHINE_ID, b"abc\n")
    assert occupied.machine_id(host) == "abc"
