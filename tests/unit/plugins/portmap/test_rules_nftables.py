"""The elements and chains that follow from a publication in our nftables table."""

from __future__ import annotations

from dataclasses import replace

from cni_portmap import rules_nftables
from linkspan.netfilter.rules import Element
from tests.harness.portmap import ATTACHMENT, WEB, publication

NOTE = f"{ATTACHMENT.key[:16]} net1 c1 eth0"


def test_a_port_is_one_element_in_each_family() -> None:
    assert rules_nftables.elements(publication(WEB)) == (
        Element(name="ports4", key=("tcp", "8080"), value="10.1.0.2 . 80", comment=NOTE),
        Element(name="hairpin4", key=("10.1.0.2",), value="jump hairpin_10_1_0_0_24", comment=NOTE),
        Element(name="ports6", key=("tcp", "8080"), value="fd00:1::2 . 80", comment=NOTE),
        Element(name="hairpin6", key=("fd00:1::2",), value="jump hairpin_fd00_1___64", comment=NOTE),
    )


def test_a_port_on_one_address_is_in_the_map_of_addresses() -> None:
    made = rules_nftables.elements(publication(replace(WEB, host_ip="192.0.2.1"), snat=False))
    assert made == (
        Element(name="ports4_at", key=("tcp", "192.0.2.1", "8080"), value="10.1.0.2 . 80", comment=NOTE),
    )


def test_conditions_lead_to_a_chain_of_the_attachments_own() -> None:
    made = publication(WEB, snat=False, conditions_v4=("ip", "saddr", "10.0.0.0/8"))
    ((name, rules),) = rules_nftables.conditional_chains(made)
    assert rules == ("ip saddr 10.0.0.0/8 tcp dport 8080 dnat ip to 10.1.0.2:80",)
    assert rules_nftables.elements(made)[0] == Element(
        name="conditional4", key=("tcp", "8080"), value=f"jump {name}", comment=NOTE
    )


def test_masquerading_all_uses_a_chain_without_a_source() -> None:
    chains = dict(rules_nftables.subnet_chains(publication(WEB, masq_all=True)))
    assert chains == {"hairpin_all4": ("masquerade",), "hairpin_all6": ("masquerade",)}


def test_a_shield_is_an_element_of_each_address_and_one_of_the_bridge() -> None:
    made = publication(drop_direct_access=True)
    assert [(each.name, each.key) for each in rules_nftables.elements(made)] == [
        ("shielded4", ("10.1.0.2",)),
        ("shielded6", ("fd00:1::2",)),
    ]
    assert [(each.name, each.key) for each in rules_nftables.shared_elements(made)] == [("inside", ("br0",))]


def test_relayed_ports_are_redirected_besides_being_translated() -> None:
    made = publication(WEB, snat=False, localhost="relay")
    made = replace(made, relayed=tuple(each.redirected(61000) for each in made.relayed_ports()))
    assert rules_nftables.elements(made)[2:] == (
        Element(name="relayed4", key=("tcp", "8080"), value="61000", comment=NOTE),
        Element(name="relayed6", key=("tcp", "8080"), value="61000", comment=NOTE),
    )


def test_port_of_a_loopback_address_that_is_relayed_is_not_translated() -> None:
    made = publication(replace(WEB, host_ip="127.0.0.1"), localhost="relay")
    assert [each.name for each in rules_nftables.elements(made)] == ["relayed4_at"]
