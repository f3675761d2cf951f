"""A change becomes the fewest edits that make a table what it asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkspan.host.memory.netfilter import MemoryIptables
from linkspan.netfilter.iptables_edits import (
    AddRule,
    DeleteChain,
    DeleteRule,
    FlushChain,
    NewChain,
    edits,
    restore_script,
)
from linkspan.netfilter.iptables_text import render
from linkspan.netfilter.rules import Change, Jump, Rule

ACCEPT = Rule(target="ACCEPT")
JUMP = Rule(target="OWN")


def test_nothing_is_edited_that_is_as_asked() -> None:
    change = Change(shared=("S",), own=(("OWN", (ACCEPT,)),), jumps=(Jump(chain="S", rule=JUMP),))
    assert edits({"S": ("-j OWN",), "OWN": ("-j ACCEPT",)}, change) == ()


def test_a_shared_chain_is_never_emptied() -> None:
    assert edits({"S": ("-j ACCEPT",)}, Change(shared=("S",))) == ()


def test_a_chain_goes_after_the_jumps_to_it() -> None:
    present = {"FORWARD": ("-j OWN", "-j ACCEPT", "-p tcp -j OWN"), "OWN": ("-j DROP",)}
    assert edits(present, Change(remove_chains=("OWN",))) == (
        FlushChain("OWN"),
        DeleteRule("FORWARD", 0, "-j OWN"),
        DeleteRule("FORWARD", 1, "-p tcp -j OWN"),
        DeleteChain("OWN"),
    )


def test_a_chain_of_another_with_the_same_beginning_stays() -> None:
    assert edits({"FORWARD": ("-j OWN-2",)}, Change(remove_chains=("OWN",))) == ()


def test_a_chain_that_is_removed_and_filled_is_only_refilled() -> None:
    change = Change(remove_chains=("OWN",), own=(("OWN", (ACCEPT,)),))
    assert edits({"FORWARD": ("-j OWN",), "OWN": ("-j DROP",)}, change) == (
        FlushChain("OWN"),
        DeleteRule("FORWARD", 0, "-j OWN"),
        AddRule("OWN", ACCEPT),
    )


def test_the_same_jump_asked_for_twice_is_made_once() -> None:
    jump = Jump(chain="FORWARD", rule=ACCEPT)
    assert edits({}, Change(jumps=(jump, jump))) == (AddRule("FORWARD", ACCEPT),)


def test_a_jump_that_another_program_made_twice_is_left_once() -> None:
    present = {"FORWARD": ("-j ACCEPT", "-j DROP", "-j ACCEPT", "-j ACCEPT")}
    change = Change(jumps=(Jump(chain="FORWARD", rule=ACCEPT),))
    assert edits(present, change) == (
        DeleteRule("FORWARD", 2, "-j ACCEPT"),
        DeleteRule("FORWARD", 2, "-j ACCEPT"),
    )


def test_edits_are_one_transaction_of_restore() -> None:
    to_do = (
        NewChain("N"),
        FlushChain("E"),
        DeleteRule("D", 3, "-j X"),
        AddRule("N", ACCEPT, first=True),
        DeleteChain("E"),
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
