"""Which links lead to other hosts, and which to somebody's containers or guests."""

from __future__ import annotations

import pytest

from linkspan.host.memory import MemoryHost
from linkspan.host.memory.device import Device
from linkspan.paths import OWN_NETNS
from linkspan.steps.uplinks import DIALLED, read_uplinks


@pytest.fixture
def host() -> MemoryHost:
    """A host without links but lo."""
    return MemoryHost()


def plug_in(host: MemoryHost, name: str, kind: str = "", *addresses: str, default: str = "") -> None:
    """A link that is up, with addresses and perhaps a default route."""
    links = host.namespace(OWN_NETNS)
    links.add(Device(links, links.next_index(), name, kind, "02:00:00:00:00:01"))
    links.change(name, up=True)
    for each in addresses:
        links.add_address(name, each)
    if default:
        links.add_route(default, ifname=name)


def found(host: MemoryHost) -> list[str]:
    return list(read_uplinks(host))[len(DIALLED) :]


@pytest.mark.parametrize("kind", ["", "vlan", "bond", "wireguard", "vxlan", "macvlan"])
def test_a_link_that_is_no_bridge_leads_out_even_without_an_address(host: MemoryHost, kind: str) -> None:
    plug_in(host, "x0", kind)
    assert found(host) == ["x0"]


@pytest.mark.parametrize("kind", ["bridge", "openvswitch"])
@pytest.mark.parametrize("default", ["0.0.0.0/0", "::/0"])
def test_a_bridge_leads_out_if_a_default_route_does(host: MemoryHost, kind: str, default: str) -> None:
    plug_in(host, "br0", kind, "192.168.1.2/24", "fd00:1::2/64", default=default)
    plug_in(host, "virbr0", kind, "192.168.122.1/24", "fd00:2::1/64")
    assert found(host) == ["br0"]


@pytest.mark.parametrize("kind", ["veth", "tun"])
def test_a_link_to_a_single_guest_does_not_lead_out(host: MemoryHost, kind: str) -> None:
    plug_in(host, "cali0", kind)
    plug_in(host, "veth1", kind, "10.1.0.1/32", "fd00:1::1/128")
    plug_in(host, "eth0", kind, "192.0.2.2/24")
    plug_in(host, "eth1", kind, "10.244.0.9/32", default="0.0.0.0/0")
    assert found(host) == ["eth0", "eth1"]


def test_a_link_on_top_of_a_bridge_leads_where_the_bridge_does(host: MemoryHost) -> None:
    plug_in(host, "br0", "bridge", "192.168.1.2/24", default="0.0.0.0/0")
    plug_in(host, "br1", "bridge")
    plug_in(host, "eth0")
    for below in ("br0", "br1", "eth0"):
        host.links().create_vlan(f"{below}.7", link=below, vlan=7)
    host.links().create_vlan("br1.7.8", link="br1.7", vlan=8)
    assert found(host) == ["br0", "br0.7", "eth0", "eth0.7"]


def test_a_port_does_not_lead_out(host: MemoryHost) -> None:
    plug_in(host, "br0", "bridge")
    plug_in(host, "eth0")
    host.links().change("eth0", master="br0")
    assert found(host) == []


def test_links_whose_names_are_always_accepted_are_not_listed_again(host: MemoryHost) -> None:
    for each in ("wg0", "tun3", "tailscale0", "ppp0", "eth0"):
        plug_in(host, each)
    assert found(host) == ["eth0"]
