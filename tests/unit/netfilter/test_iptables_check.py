"""What of a change is missing in a table, as sentences that name it."""

from __future__ import annotations

import pytest

from linkspan.netfilter.iptables_check import absent
from linkspan.netfilter.iptables_text import Chains
from linkspan.netfilter.rules import Change, Jump, Rule

CHANGE = Change(
    shared=("SHARED",),
    own=(("OWN", (Rule(target="DROP"),)),),
    jumps=(
        Jump(chain="FORWARD", rule=Rule(target="OWN"), first=True),
        Jump(chain="FORWARD", rule=Rule(target="SHARED"), first=True),
    ),
)
WHOLE: Chains = {"FORWARD": ("-j SHARED", "-j OWN"), "SHARED": (), "OWN": ("-j DROP",)}


def test_a_table_as_the_change_makes_it_lacks_nothing() -> None:
    assert absent(WHOLE, CHANGE) == []


@pytest.mark.parametrize(
    ("present", "sentence"),
    [
        ({**WHOLE, "OWN": ()}, "the rules of the iptables chain OWN were changed"),
        ({**WHOLE, "OWN": ("-j DROP", "-j DROP")}, "the rules of the iptables chain OWN were changed"),
        ({**WHOLE, "FORWARD": ("-j OWN",)}, "the iptables chain FORWARD has no rule: -j SHARED"),
        (
            {**WHOLE, "FORWARD": ("-j OWN", "-j SHARED")},
            "the iptables chain FORWARD has this rule in the wrong position: -j SHARED",
        ),
        ({name: WHOLE[name] for name in ("FORWARD", "OWN")}, "the iptables chain SHARED is missing"),
        ({name: WHOLE[name] for name in ("FORWARD", "SHARED")}, "the iptables chain OWN is missing"),
    ],
)
def test_what_is_missing_is_named(present: Chains, sentence: str) -> None:
    assert absent(present, CHANGE) == [sentence]
