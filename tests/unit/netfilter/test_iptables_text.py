"""Rules become the text that iptables-save prints, and a change becomes the fewest edits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkspan.host.memory.netfilter import MemoryIptables
from linkspan.netfilter.iptables_text import (
    AddRule,
    DeleteRule,
    DropChain,
    EmptyChain,
    NewChain,
    edits,
    meaning,
    packet,
    parse_policy,
    parse_save,
    render,
    restore_script,
)
from linkspan.netfilter.rules import Change, Jump, Match, Rule

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
def test_what_is_no_rule_is_not_written(rule: Rule) -> None:
    with pytest.raises(ValueError, match=r"no |one line"):
        render(rule)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("-s 10.0.0.1 -j X", "-s 10.0.0.1/32 -j X"),
        (
            "-p tcp -m tcp --dport 80 -d 10.0.0.1 -j X",
            "-d 10.0.0.1/32 -p 6 -m tcp --destination-port 80 -j X",
        ),
        (
            "-m comment --comment a -m mark --mark 0x2000 -j X",
            '-m mark --mark 8192/0xffffffff -m comment --comment "a" -j X',
        ),
        ("-j MARK --set-mark 1", "-j MARK --set-xmark 0x1/0xffffffff"),
        ("-m conntrack --ctstate NEW,ESTABLISHED -j X", "-m conntrack --ctstate ESTABLISHED,NEW -j X"),
        ("-p icmpv6 -j X", "-p ipv6-icmp -j X"),
    ],
)
def test_spelling_and_order_make_no_other_rule(one: str, other: str) -> None:
    assert meaning(one) == meaning(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("-s 10.0.0.1/32 -j X", "! -s 10.0.0.1/32 -j X"),
        ("-s 10.0.0.1/32 -j X", "-d 10.0.0.1/32 -j X"),
        ("-j X", "-j Y"),
        ("-p tcp -m tcp --dport 80 -j X", "-p tcp -m tcp ! --dport 80 -j X"),
        ('-m comment --comment "a b" -j X', "-m comment --comment ab -j X"),
        ("-j DNAT --to-destination 10.0.0.1:80", "-j DNAT --to-destination 10.0.0.1:81"),
        ('-m comment --comment "! -j X" -j Y', "-j X"),
    ],
)
def test_what_differs_is_another_rule(one: str, other: str) -> None:
    assert meaning(one) != meaning(other)


@given(
    st.text(
        st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f\x85\xa0"), max_size=40
    )
)
def test_a_comment_of_any_text_means_itself(comment: str) -> None:
    rule = Rule(matches=(Match("comment", (("comment", comment),)),), target="X")
    assert meaning(render(rule)).parts == (f"--comment {comment}",)


def test_what_python_iptables_is_told_of_a_packet() -> None:
    rule = Rule(source="! 10.0.0.1", out_interface="br0", protocol="icmpv6", target="X")
    assert packet(rule) == {"src": "!10.0.0.1/32", "out_interface": "br0", "protocol": "58"}


def test_saved_text_becomes_chains_and_rules() -> None:
    saved = "# Generated\n*nat\n:PREROUTING ACCEPT [0:0]\n:OWN - [0:0]\n-A OWN -j ACCEPT\n-A OWN -j DROP\nCOMMIT\n"
    assert parse_save(saved) == {"nat": {"PREROUTING": (), "OWN": ("-j ACCEPT", "-j DROP")}}


def test_saved_text_of_two_tables_keeps_them_apart() -> None:
    saved = "*raw\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j DROP\nCOMMIT\n"
    assert parse_save(saved) == {"raw": {"OUTPUT": ()}, "nat": {"OUTPUT": ("-j DROP",)}}


# --- edits -----------------------------------------------------------------------------------------------------


def test_nothing_is_edited_that_is_as_asked() -> None:
    change = Change(shared=("S",), own=(("OWN", (ACCEPT,)),), jumps=(Jump(chain="S", rule=JUMP),))
    assert edits({"S": ("-j OWN",), "OWN": ("-j ACCEPT",)}, change) == ()


def test_a_shared_chain_is_never_emptied() -> None:
    assert edits({"S": ("-j ACCEPT",)}, Change(shared=("S",))) == ()


def test_a_chain_goes_after_the_jumps_to_it() -> None:
    present = {"FORWARD": ("-j OWN", "-j ACCEPT", "-p tcp -j OWN"), "OWN": ("-j DROP",)}
    assert edits(present, Change(remove_chains=("OWN",))) == (
        EmptyChain("OWN"),
        DeleteRule("FORWARD", 0, "-j OWN"),
        DeleteRule("FORWARD", 1, "-p tcp -j OWN"),
        DropChain("OWN"),
    )


def test_a_chain_of_another_with_the_same_beginning_stays() -> None:
    assert edits({"FORWARD": ("-j OWN-2",)}, Change(remove_chains=("OWN",))) == ()


def test_a_chain_that_is_removed_and_filled_is_only_refilled() -> None:
    change = Change(remove_chains=("OWN",), own=(("OWN", (ACCEPT,)),))
    assert edits({"FORWARD": ("-j OWN",), "OWN": ("-j DROP",)}, change) == (
        EmptyChain("OWN"),
        DeleteRule("FORWARD", 0, "-j OWN"),
        AddRule("OWN", ACCEPT),
    )


def test_the_same_jump_asked_for_twice_is_made_once() -> None:
    jump = Jump(chain="FORWARD", rule=ACCEPT)
    assert edits({}, Change(jumps=(jump, jump))) == (AddRule("FORWARD", ACCEPT),)


def test_a_jump_that_somebody_made_twice_is_left_once() -> None:
    present = {"FORWARD": ("-j ACCEPT", "-j DROP", "-j ACCEPT", "-j ACCEPT")}
    change = Change(jumps=(Jump(chain="FORWARD", rule=ACCEPT),))
    assert edits(present, change) == (
        DeleteRule("FORWARD", 2, "-j ACCEPT"),
        DeleteRule("FORWARD", 2, "-j ACCEPT"),
    )


def test_edits_are_one_transaction_of_restore() -> None:
    to_do = (
        NewChain("N"),
        EmptyChain("E"),
        DeleteRule("D", 3, "-j X"),
        AddRule("N", ACCEPT, first=True),
        DropChain("E"),
    )
    assert restore_script({"nat": to_do}).splitlines() == [
        "*nat",
        "-N N",
        "-F E",
        "-D D -j X",
        "-I N -j ACCEPT",
        "-X E",
        "COMMIT",
    ]


CHAINS = st.sampled_from(["FORWARD", "A", "B", "C"])
RULES = st.builds(
    Rule, target=st.sampled_from(["ACCEPT", "DROP"]), in_interface=st.sampled_from(["", "x", "! y"])
)
CHANGES = st.builds(
    Change,
    remove_chains=st.lists(st.sampled_from(["A", "B"]), max_size=2, unique=True).map(tuple),
    remove=st.lists(st.tuples(CHAINS, RULES), max_size=2).map(tuple),
    shared=st.just(("C",)),
    own=st.lists(
        st.tuples(st.sampled_from(["A", "B"]), st.lists(RULES, max_size=3).map(tuple)),
        max_size=2,
        unique_by=lambda own: own[0],
    ).map(tuple),
)


@given(
    st.lists(CHANGES, max_size=5),
    st.lists(
        st.builds(Jump, chain=st.sampled_from(["FORWARD", "C"]), rule=RULES, first=st.booleans()), max_size=3
    ),
)
def test_after_a_change_own_chains_hold_their_rules_and_every_jump_stands_once(
    changes: list[Change], jumps: list[Jump]
) -> None:
    iptables = MemoryIptables()
    for change in (*changes, Change(shared=("C",), jumps=tuple(jumps))):
        iptables.apply(4, "filter", change)
        rules = iptables.rules(4, "filter")
        assert all(rules[chain] == tuple(map(render, own)) for chain, own in change.own)
    assert all(rules[jump.chain].count(render(jump.rule)) == 1 for jump in jumps)


ABOVE = Change(
    jumps=(Jump(chain="FORWARD", rule=JUMP, first=True), Jump(chain="FORWARD", rule=ACCEPT, first=True))
)


@pytest.mark.parametrize(
    "present",
    [
        (),
        ("-j OWN",),
        ("-j ACCEPT",),
        ("-j OWN", "-j ACCEPT"),
        ("-j OWN", "-s 10.0.0.1/32 -j DROP", "-j ACCEPT"),
    ],
)
def test_of_two_first_rules_the_later_listed_ends_above(present: tuple[str, ...]) -> None:
    fake = MemoryIptables()
    fake.tables[4, "filter"] = {"FORWARD": list(present), "OWN": []}
    fake.apply(4, "filter", ABOVE)
    ours = [text for text in fake.rules(4, "filter")["FORWARD"] if text in ("-j OWN", "-j ACCEPT")]
    assert ours == ["-j ACCEPT", "-j OWN"]


def test_first_rules_in_their_order_are_left_where_they_stand() -> None:
    present = {"FORWARD": ("-s 10.0.0.1/32 -j DROP", "-j ACCEPT", "-i eth0 -j DROP", "-j OWN"), "OWN": ()}
    assert edits(present, ABOVE) == ()


@pytest.mark.parametrize(
    ("chain", "policy"), [("FORWARD", "DROP"), ("INPUT", "ACCEPT"), ("ABSENT", "ACCEPT")]
)
def test_a_built_in_chain_s_policy_is_read_from_its_line(chain: str, policy: str) -> None:
    text = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OWN - [0:0]\nCOMMIT\n"
    assert parse_policy(text, chain) == policy
