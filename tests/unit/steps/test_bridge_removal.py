"""Removing the rules that the attachments of a bridge shared, and nothing of another's."""

from __future__ import annotations

import pytest

from linkspan.host.memory import MemoryHost
from linkspan.netfilter.nft_table import dns_elements
from linkspan.netfilter.rules import Element, NftChange
from linkspan.steps.bridge_removal import remove_bridge_rules
from linkspan.steps.closing import Close
from linkspan.steps.forwarding import accept_forwarding
from linkspan.steps.isolation import Isolate
from linkspan.steps.nft_table import ApplyNftables


@pytest.fixture
def host() -> MemoryHost:
    """A host whose FORWARD policy is DROP, with two bridges that have a gateway's address each."""
    made = MemoryHost()
    for family in (4, 6):
        made.iptables.policies[family, "filter", "FORWARD"] = "DROP"
    for number, name in enumerate(("br0", "br1")):
        made.links().create_bridge(name)
        made.links().add_address(name, f"10.{number}.0.1/24")
    ensure(made)
    return made


def ensure(host: MemoryHost, *elements: Element) -> None:
    ApplyNftables(NftChange(add=elements)).do(host)


def share(host: MemoryHost, bridge: str, gateway: str) -> None:
    """What the attachments of a bridge leave: elements, rules, and the mark of an internal network."""
    names = ("inside", "localnet", "fenced")
    ensure(host, *(Element(name=each, key=(bridge,)) for each in names))
    ensure(host, Element(name="fenced_open", key=(bridge, bridge)), *dns_elements([gateway]))
    accept_forwarding(bridge, (4, 6)).do(host)
    Isolate(bridge).do(host)
    Close(bridge, bridge).do(host)


def state(host: MemoryHost) -> set[str]:
    return {each for each in host.state() if "sysctl" not in each}


def test_the_rules_of_a_bridge_are_removed_and_those_of_another_stay(host: MemoryHost) -> None:
    share(host, "br1", "10.1.0.1")
    before = state(host)
    host.links().create_bridge("br2")
    host.links().add_address("br2", "10.2.0.1/24")
    share(host, "br2", "10.2.0.1")
    remove_bridge_rules(host, "br2", "br2")
    host.links().delete("br2")
    assert state(host) ^ before == set()


def test_the_address_of_a_vlan_is_that_of_its_link(host: MemoryHost) -> None:
    before = state(host)
    links = host.links()
    links.create_bridge("br2", vlan_filtering=True)
    links.create_vlan("br2.7", link="br2", vlan=7)
    links.add_address("br2.7", "10.7.0.1/24")
    ensure(host, *dns_elements(["10.7.0.1"]))
    accept_forwarding("br2.7", (4,)).do(host)
    remove_bridge_rules(host, "br2", "br2.7")
    host.links().delete("br2")
    assert [each for each in state(host) - before if "br2" in each or "10.7.0.1" in each] == []
    assert links.get("br2.7") is None


def test_without_nftables_the_rules_of_a_closed_bridge_are_removed_from_iptables(host: MemoryHost) -> None:
    host.nftables.available = False
    before = state(host)
    Close("br1", "br1").do(host)
    remove_bridge_rules(host, "br1", "br1")
    assert {each for each in state(host) - before if "br1" in each} == set()


@pytest.mark.parametrize("kind", ["port", "veth"])
def test_the_rules_of_a_bridge_with_ports_and_of_a_link_that_is_no_bridge_stay(
    host: MemoryHost, kind: str
) -> None:
    if kind == "port":
        host.links().create_bridge("eth0")
        host.links().change("eth0", master="br0")
    else:
        host.links().delete("br0")
        host.add_netns("/run/netns/x")
        host.links().create_veth(
            "br0", mac="02:00:00:00:00:01", peer="p", peer_mac="", peer_netns="/run/netns/x"
        )
    before = host.state()
    remove_bridge_rules(host, "br0", "br0")
    assert host.state() == before


def test_an_absent_bridge_is_fine() -> None:
    host = MemoryHost()
    before = host.state()
    remove_bridge_rules(host, "br9", "br9")
    assert host.state() == before
