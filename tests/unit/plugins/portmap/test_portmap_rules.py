"""The rules that follow from a publication, in both back ends."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cni_portmap import rules_iptables, rules_nftables
from cni_portmap.config import Config, PortMapping
from cni_portmap.facts import Publication
from linkspan.cni.errors import InvalidConfig
from linkspan.cni.model import Attachment
from linkspan.netfilter.iptables_edits import edits, restore_script
from linkspan.netfilter.rules import Element, Flow, Match

ATTACHMENT = Attachment("net1", "c1", "eth0")
NOTE = f"{ATTACHMENT.key[:16]} net1 c1 eth0"
WEB = PortMapping(host_port=8080, container_port=80, protocol="tcp")


def publication(*mappings: PortMapping, **keys: Any) -> Publication:
    return Publication(
        attachment=ATTACHMENT,
        backend="iptables",
        config=Config(mappings=mappings, **keys),
        address4="10.1.0.2/24",
        address6="fd00:1::2/64",
        host_link="veth1",
        interface="br0",
    )


def script(made: Publication, family: Any, table: str = "nat") -> list[str]:
    """What an empty table is changed by."""
    change = rules_iptables.changes(made, family)[table]
    return restore_script({table: edits({}, change)}).splitlines()[1:-1]


# --- iptables ------------------------------------------------------------------------------------------------------


def test_iptables_rules_have_the_names_and_shapes_of_the_reference() -> None:
    chain = rules_iptables.chain_name(ATTACHMENT)
    added = [line for line in script(publication(WEB), 4) if line.startswith(("-A", "-I"))]
    assert sorted(added) == sorted(
        [
            f"-A {chain} -s 10.1.0.0/24 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK",
            f"-A {chain} -s 127.0.0.1/32 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK",
            f"-A {chain} -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.1.0.2:80",
            '-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000',
            "-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE",
            '-I POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ',
            "-I PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
            "-I OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
            '-I CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"net1\\" id: \\"c1\\"" -m multiport '
            f"--dports 8080 -j {chain}",
        ]
    )


def test_the_first_interface_has_the_references_chain_and_others_have_their_own() -> None:
    first = rules_iptables.chain_name(ATTACHMENT)
    assert first == "CNI-DN-" + _sha512("net1c1")[:21]
    assert rules_iptables.chain_name(replace(ATTACHMENT, ifname="eth1")) != first


def _sha512(text: str) -> str:
    from hashlib import sha512

    return sha512(text.encode()).hexdigest()


def test_ipv6_targets_are_in_brackets_and_loopback_is_left_alone() -> None:
    (dnat,) = [line for line in script(publication(WEB), 6) if "-j DNAT" in line]
    assert "! -d ::1/128" in dnat
    assert dnat.endswith("--to-destination [fd00:1::2]:80")


def test_a_port_on_loopback_is_for_the_host_itself() -> None:
    (dnat,) = [
        line for line in script(publication(replace(WEB, host_ip="127.0.0.1")), 4) if "-j DNAT" in line
    ]
    assert "-d 127.0.0.1/32" in dnat
    assert "--src-type LOCAL" in dnat


def test_more_than_fifteen_ports_are_several_rules() -> None:
    many = tuple(replace(WEB, host_port=8000 + number) for number in range(31))
    dispatch = [line for line in script(publication(*many), 4) if "multiport" in line]
    assert [line.count(",") + 1 for line in dispatch] == [15, 15, 1]


def test_the_loopback_guard_is_wanted_only_where_127_0_0_1_is_routed_out() -> None:
    assert "raw" in rules_iptables.changes(publication(WEB), 4)
    for other in (
        publication(WEB, snat=False),
        publication(replace(WEB, host_ip="192.0.2.1")),
        replace(publication(WEB), interface=""),
    ):
        assert "raw" not in rules_iptables.changes(other, 4)
    assert "raw" not in rules_iptables.changes(publication(WEB), 6)


def test_the_shield_lets_answers_and_our_bridges_through_before_it_drops() -> None:
    own = rules_iptables.shield_name(ATTACHMENT)
    lines = script(publication(drop_direct_access=True), 4, "mangle")
    assert [line for line in lines if line.startswith(("-A", "-I"))] == [
        f"-A {own} -j DROP",
        "-I CNI-SHIELD -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
        "-I CNI-SHIELD -i br0 -j RETURN",
        f'-A CNI-SHIELD -d 10.1.0.2/32 -m comment --comment "dnat name: \\"net1\\" id: \\"c1\\"" -j {own}',
        "-A PREROUTING -j CNI-SHIELD",
    ]


def test_conditions_become_fields_and_matches() -> None:
    words = ["!", "-s", "10.0.0.0/8", "-m", "mac", "--mac-source", "02:00:00:00:00:01", "!", "--x", "a", "b"]
    assert rules_iptables.conditions(words) == (
        {"source": "! 10.0.0.0/8"},
        (Match("mac", (("mac-source", "02:00:00:00:00:01"), ("! x", "a b"))),),
    )


@pytest.mark.parametrize("words", [["-j", "ACCEPT"], ["--dport", "80"], ["-s"], ["!"], ["word"]])
def test_conditions_that_are_none_are_refused(words: list[str]) -> None:
    with pytest.raises(InvalidConfig):
        rules_iptables.conditions(words)


# --- nftables ------------------------------------------------------------------------------------------------------


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


def test_masquerading_all_uses_a_chain_that_asks_for_no_source() -> None:
    chains = dict(rules_nftables.subnet_chains(publication(WEB, masq_all=True)))
    assert chains == {"hairpin_all4": ("masquerade",), "hairpin_all6": ("masquerade",)}


def test_a_shield_is_an_element_of_each_address_and_one_of_the_bridge() -> None:
    made = publication(drop_direct_access=True)
    assert [(each.name, each.key) for each in rules_nftables.elements(made)] == [
        ("shielded4", ("10.1.0.2",)),
        ("shielded6", ("fd00:1::2",)),
    ]
    assert [(each.name, each.key) for each in rules_nftables.shared_elements(made)] == [("inside", ("br0",))]


# --- publication ---------------------------------------------------------------------------------------------------


def test_a_record_gives_the_publication_back() -> None:
    local = PortMapping(host_port=53, container_port=53, protocol="udp", host_ip="192.0.2.1")
    made = publication(WEB, local, drop_direct_access=True, conditions_v4=("-s", "10.0.0.0/8"))
    record = json.loads(json.dumps(made.to_record()))
    assert Publication.from_record(ATTACHMENT, record) == made


@pytest.mark.parametrize(
    "record",
    [
        {"backend": "ebtables"},
        {"config": 3},
        {"config": {"mappings": [{}]}},
        {"config": {"mappings": [{"host_port": 0, "container_port": 80, "protocol": "tcp"}]}},
        {
            "config": {
                "mappings": [{"host_port": 80, "container_port": 80, "protocol": "tcp", "host_ip": "x"}]
            }
        },
        {"config": {"mappings": [], "unknown": 1}},
        {"address4": "nonsense"},
        {"address4": "fd00::1/64"},
        {"address6": None},
        {"hostLink": 7},
    ],
)
def test_a_damaged_record_gives_nothing(record: dict[str, Any]) -> None:
    whole = publication(WEB).to_record()
    assert Publication.from_record(ATTACHMENT, whole) is not None
    assert Publication.from_record(ATTACHMENT, {**whole, **record}) is None
    assert Publication.from_record(ATTACHMENT, record) is None


def test_only_flows_that_never_end_by_themselves_are_to_be_forgotten() -> None:
    made = publication(WEB, PortMapping(host_port=53, container_port=5353, protocol="udp", host_ip="0.0.0.0"))
    assert list(made.flows(of_container=True)) == [
        Flow(family=4, protocol="udp", to_port=53, reply_from="10.1.0.2")
    ]


def test_an_address_whose_family_the_container_lacks_is_unreachable() -> None:
    made = replace(publication(replace(WEB, host_ip="2001:db8::1"), WEB), address6="")
    assert made.unreachable() == ("2001:db8::1",)
