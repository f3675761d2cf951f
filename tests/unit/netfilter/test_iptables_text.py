"""Rules become the text that iptables-save prints, and its output becomes chains of rules."""

from __future__ import annotations

import pytest

from linkspan.netfilter.iptables_text import packet, parse_policy, parse_save, render
from linkspan.netfilter.rules import Match, Rule

ACCEPT = Rule(target="ACCEPT")
JUMP = Rule(target="OWN")


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (ACCEPT, "-j ACCEPT"),
        (Rule(source="10.0.0.1", target="ACCEPT"), "-s 10.0.0.1/32 -j ACCEPT"),
        (Rule(source="10.0.0.7/24", target="ACCEPT"), "-s 10.0.0.0/24 -j ACCEPT"),
        (Rule(source="0.0.0.0/0", target="ACCEPT"), "-j ACCEPT"),
        (Rule(destination="::/0", target="ACCEPT"), "-j ACCEPT"),
        (Rule(destination="! 224.0.0.0/4", target="MASQUERADE"), "! -d 224.0.0.0/4 -j MASQUERADE"),
        (Rule(source="FD00:0::1", target="ACCEPT"), "-s fd00::1/128 -j ACCEPT"),
        (Rule(protocol="TCP", target="ACCEPT"), "-p tcp -j ACCEPT"),
        (Rule(protocol="! icmpv6", target="ACCEPT"), "! -p ipv6-icmp -j ACCEPT"),
        (Rule(in_interface="br0", out_interface="! br0", target="DROP"), "-i br0 ! -o br0 -j DROP"),
        (
            Rule(matches=(Match("multiport", (("destination-ports", "1,2"),)),), target="X"),
            "-m multiport --dports 1,2 -j X",
        ),
        (
            Rule(target="MASQUERADE", target_options=(("random-fully", ""),)),
            "-j MASQUERADE --random-fully",
        ),
    ],
)
def test_a_rule_is_written_as_iptables_save_prints_it(rule: Rule, text: str) -> None:
    assert render(rule) == text


@pytest.mark.parametrize(
    ("comment", "text"),
    [
        ("one-word", "one-word"),
        ("two words", '"two words"'),
        ("a.b", '"a.b"'),
        ("\"'\\", '"\\"\\\'\\\\"'),
        ("", '""'),
    ],
)
def test_a_comment_is_quoted_as_iptables_save_quotes_it(comment: str, text: str) -> None:
    rule = Rule(matches=(Match("comment", (("comment", comment),)),), target="X")
    assert render(rule) == f"-m comment --comment {text} -j X"


@pytest.mark.parametrize(
    "rule",
    [
        Rule(source="nonsense", target="X"),
        Rule(source="10.0.0.1/33", target="X"),
        Rule(in_interface="a\n-F INPUT", target="X"),
        Rule(matches=(Match("comment", (("comment", "a\0"),)),), target="X"),
    ],
)
def test_an_invalid_rule_is_not_written(rule: Rule) -> None:
    with pytest.raises(ValueError, match=r"not an IP address|no prefix|one line"):
        render(rule)


def test_what_python_iptables_is_told_of_a_packet() -> None:
    rule = Rule(source="! 10.0.0.1", out_interface="br0", protocol="icmpv6", target="X")
    assert packet(rule) == {"src": "!10.0.0.1/32", "out_interface": "br0", "protocol": "58"}


def test_saved_text_becomes_chains_and_rules() -> None:
    chains = ":PREROUTING ACCEPT [0:0]\n:OWN - [0:0]\n-A OWN -j ACCEPT\n-A OWN -j DROP\n"
    saved = f"# Generated\n*nat\n{chains}COMMIT\n"
    assert parse_save(saved) == {"nat": {"PREROUTING": (), "OWN": ("-j ACCEPT", "-j DROP")}}


def test_saved_text_of_two_tables_keeps_them_apart() -> None:
    saved = "*raw\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j DROP\nCOMMIT\n"
    assert parse_save(saved) == {"raw": {"OUTPUT": ()}, "nat": {"OUTPUT": ("-j DROP",)}}


# --- edits
# -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chain", "policy"), [("FORWARD", "DROP"), ("INPUT", "ACCEPT"), ("ABSENT", "ACCEPT")]
)
def test_a_built_in_chain_s_policy_is_read_from_its_line(chain: str, policy: str) -> None:
    text = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OWN - [0:0]\nCOMMIT\n"
    assert parse_policy(text, chain) == policy
