"""Saved rules are compared by what they mean, whatever their spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkspan.netfilter.iptables_meaning import meaning
from linkspan.netfilter.iptables_text import render
from linkspan.netfilter.rules import Match, Rule


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


@pytest.mark.parametrize(
    "rule",
    ["-s 10.0.0.0/255.0.255.0 -j ACCEPT", "-m mark --mark none -j ACCEPT", "-s host.example -j ACCEPT"],
)
def test_a_rule_that_we_would_not_write_is_compared_as_it_is(rule: str) -> None:
    assert meaning(rule) == meaning(rule)
    assert meaning(rule) != meaning("-j ACCEPT")
