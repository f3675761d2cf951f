"""What a change makes and a table of iptables does not have. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from linkspan.netfilter.iptables_edits import displaced
from linkspan.netfilter.iptables_meaning import meaning
from linkspan.netfilter.iptables_text import Chains, render
from linkspan.netfilter.rules import Change


def absent(present: Chains, change: Change) -> list[str]:
    """The chains and rules that `change` makes and `present` does not have, as sentences."""
    return [*_chains(present, change), *_jumps(present, change)]


def _chains(present: Chains, change: Change) -> Iterator[str]:
    for chain in change.shared:
        if chain not in present:
            yield f"the iptables chain {chain} is missing"
    for chain, rules in change.own:
        expected = [meaning(render(rule)) for rule in rules]
        if chain not in present:
            yield f"the iptables chain {chain} is missing"
        elif [meaning(text) for text in present[chain]] != expected:
            yield f"the rules of the iptables chain {chain} were changed"


def _jumps(present: Chains, change: Change) -> Iterator[str]:
    for jump in change.jumps:
        expected = meaning(render(jump.rule))
        rules = present.get(jump.chain, ())
        if not any(expected.target in text and meaning(text) == expected for text in rules):
            yield f"the iptables chain {jump.chain} has no rule: {render(jump.rule)}"
    for jump in displaced(present, change):
        yield f"the iptables chain {jump.chain} has this rule in the wrong position: {render(jump.rule)}"
