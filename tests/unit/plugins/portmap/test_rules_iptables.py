"""The rules that follow from a publication in iptables: the reference's, and what goes beyond them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cni_portmap import rules_iptables
from cni_portmap.facts import Publication
from linkspan.cni.errors import InvalidConfig
from linkspan.netfilter.iptables_edits import edits, restore_script
from linkspan.netfilter.rules import Match
from tests.harness.portmap import ATTACHMENT, WEB, publication


def script(made: Publication, family: Any, table: str = "nat") -> list[str]:
    """What an empty table is changed by."""
    change = rules_iptables.changes(made, family)[table]
    return restore_script({table: edits({}, change)}).splitlines()[1:-1]


def test_iptables_rules_have_the_names_and_shapes_of_the_reference() -> None:
    chain = rules_iptables.chain_name(ATTACHMENT)
    added = [line for line in script(publication(WEB), 4) if line.startswith(("-A", "-I"))]
    assert sorted(added) == sorted(
        [
            f"-A {chain} -s 10.1.0.0/24 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK",
            f"-A {chain} -s 127.0.0.1/32 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK",
            f"-A {chain} -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.1.0.2:80",
            '-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" '
            "-j MARK --set-xmark 0x2000/0x2000",
            "-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE",
            '-I POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ',
            "-I PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
            "-I OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
            '-I CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"net1\\" id: \\"c1\\"" '
            f"-m multiport --dports 8080 -j {chain}",
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
def test_invalid_conditions_are_refused(words: list[str]) -> None:
    with pytest.raises(InvalidConfig):
        rules_iptables.conditions(words)


def test_relayed_port_is_redirected_before_it_is_marked_or_translated() -> None:
    made = publication(WEB, localhost="relay")
    made = replace(made, relayed=tuple(each.redirected(61000) for each in made.relayed_ports()))
    chain = rules_iptables.chain_name(ATTACHMENT)
    own = [line for line in script(made, 4) if line.startswith(f"-A {chain}")]
    assert own == [
        f"-A {chain} -d 127.0.0.0/8 -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 61000",
        f"-A {chain} -s 10.1.0.0/24 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK",
        f"-A {chain} -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.1.0.2:80",
    ]


def test_relayed_port_of_a_loopback_address_is_only_redirected() -> None:
    made = publication(replace(WEB, host_ip="::1"), localhost="relay")
    made = replace(made, address6="", relayed=None)
    made = replace(made, relayed=tuple(each.redirected(61000) for each in made.relayed_ports()))
    chain = rules_iptables.chain_name(ATTACHMENT)
    assert "nat" not in rules_iptables.changes(made, 4)
    assert [line for line in script(made, 6) if line.startswith(f"-A {chain}")] == [
        f"-A {chain} -d ::1/128 -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 61000"
    ]
