"""The edits that carry out a Change in a table of iptables. Pure.

They are computed here once, from the table's present rules and the Change, so that both variants of iptables
and the host in memory behave alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from linkspan.netfilter.iptables_meaning import Meaning, meaning
from linkspan.netfilter.iptables_text import Chains, render
from linkspan.netfilter.rules import Change, Jump, Rule


@dataclass(frozen=True, slots=True)
class NewChain:
    """Create a chain that does not exist."""

    chain: str


@dataclass(frozen=True, slots=True)
class FlushChain:
    """Delete all rules of a chain that exists."""

    chain: str


@dataclass(frozen=True, slots=True)
class DeleteRule:
    """Delete the rule at `index`, from 0 in the chain as this edit finds it; `text` is the rule as
    printed.
    """

    chain: str
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class AddRule:
    """Append a rule to a chain, or insert it first."""

    chain: str
    rule: Rule
    first: bool = False


@dataclass(frozen=True, slots=True)
class DeleteChain:
    """Delete a chain that is empty and that nothing jumps to."""

    chain: str


Edit = NewChain | FlushChain | DeleteRule | AddRule | DeleteChain


def edits(present: Chains, change: Change) -> tuple[Edit, ...]:
    """The edits that turn the present chains into those of the change, in an order that both tools accept.

    What is as it should be is not edited. Raises ValueError for a rule that cannot be written.
    """
    own = {chain: rules for chain, rules in change.own if not _is_filled_with(present.get(chain), rules)}
    kept = {chain for chain, _ in change.own} | set(change.shared)
    gone = [chain for chain in change.remove_chains if chain in present and chain not in kept]
    jumps = tuple(_missing_jumps(present, change))
    made = dict.fromkeys((*own, *change.shared))
    return (
        *(FlushChain(chain) for chain in (*gone, *own) if present.get(chain)),
        *(NewChain(chain) for chain in made if chain not in present),
        *_deletions(present, change, untouched={*gone, *(chain for chain, _ in change.own)}),
        *(AddRule(chain, rule) for chain, rules in own.items() for rule in rules),
        *jumps,
        *(DeleteChain(chain) for chain in gone),
    )


def _is_filled_with(present: tuple[str, ...] | None, rules: tuple[Rule, ...]) -> bool:
    if present is None or len(present) != len(rules):
        return False
    return all(meaning(text) == meaning(render(rule)) for text, rule in zip(present, rules, strict=True))


def _removed(change: Change, chain: str) -> set[Meaning]:
    return {meaning(render(rule)) for at, rule in change.remove if at == chain}


def _is_removed(text: str, change: Change, removed: set[Meaning]) -> bool:
    candidate = any(_may_mean(text, expected) for expected in removed)
    if not candidate and not any(chain in text for chain in change.remove_chains):
        return False  # most rules of a busy table: not worth parsing
    found = meaning(text)
    return found in removed or found.target in change.remove_chains


def _may_mean(text: str, expected: Meaning) -> bool:
    """Whether a rule names the target and the addresses of that meaning: cheaper than parsing it."""
    addresses = (part for part in expected.parts if part.startswith(("-s ", "-d ")))
    return expected.target in text and all(address[3:] in text for address in addresses)


def _deletions(present: Chains, change: Change, *, untouched: set[str]) -> Iterator[DeleteRule]:
    moved = {(jump.chain, meaning(render(jump.rule))) for jump in displaced(present, change)}
    targets = _targets(change)
    for chain, rules in present.items():
        # Most chains of a busy table have no rule to delete, and are not worth parsing.
        if chain in untouched or not _mentions(rules, (*change.remove_chains, *targets.get(chain, ()))):
            continue
        removed = _removed(change, chain) | {each for at, each in moved if at == chain}
        # Programs that check before they append leave a jump twice when two of them run at once.
        once = dict.fromkeys(_wanted(change, chain) - removed, False)
        gone = 0
        for index, text in enumerate(rules):
            if _is_removed(text, change, removed) or _is_copy(text, once):
                yield DeleteRule(chain, index - gone, text)
                gone += 1


def _targets(change: Change) -> dict[str, set[str]]:
    """Where the rules of a change jump to, chain by chain."""
    found: dict[str, set[str]] = {}
    for chain, rule in (*change.remove, *((jump.chain, jump.rule) for jump in change.jumps)):
        found.setdefault(chain, set()).add(rule.target)
    return found


def _mentions(rules: tuple[str, ...], targets: Iterable[str]) -> bool:
    text = "\n".join(rules)
    return any(target in text for target in targets)


def _wanted(change: Change, chain: str) -> set[Meaning]:
    return {meaning(render(jump.rule)) for jump in change.jumps if jump.chain == chain}


def _is_copy(text: str, once: dict[Meaning, bool]) -> bool:
    """Whether a rule repeats one of `once`, which maps each rule that may be there once to whether it was."""
    for expected, seen in once.items():
        if _may_mean(text, expected) and meaning(text) == expected:
            once[expected] = True
            return seen
    return False


def _missing_jumps(present: Chains, change: Change) -> Iterator[AddRule]:
    moved = displaced(present, change)
    seen: set[tuple[str, Meaning]] = set()
    for jump in change.jumps:
        expected = (jump.chain, meaning(render(jump.rule)))
        if expected not in seen and (jump in moved or _place(present, change, *expected) is None):
            yield AddRule(jump.chain, jump.rule, jump.first)
        seen.add(expected)


def displaced(present: Chains, change: Change) -> tuple[Jump, ...]:
    """The `first` rules that are below one that the change lists before them for the same chain."""
    found: list[Jump] = []
    highest: dict[str, int] = {}
    for jump in change.jumps:
        if not jump.first:
            continue
        place = _place(present, change, jump.chain, meaning(render(jump.rule)))
        below = place is not None and place > highest.get(jump.chain, place)
        if below:
            found.append(jump)
        # One that is inserted first is above all that are there.
        highest[jump.chain] = -1 if place is None or below else place
    return tuple(found)


def _place(present: Chains, change: Change, chain: str, expected: Meaning) -> int | None:
    """The index in its chain of the first rule of that meaning that this change does not delete."""
    if expected in _removed(change, chain) or expected.target in change.remove_chains:
        return None
    if any(chain == refilled for refilled, _ in change.own):
        return None
    for index, text in enumerate(present.get(chain, ())):
        if _may_mean(text, expected) and meaning(text) == expected:
            return index
    return None


def restore_script(to_do: Mapping[str, Iterable[Edit]]) -> str:
    """The edits as input for `iptables-restore --noflush`, which changes each table atomically.

    A chain is created with -N, not declared with `:CHAIN`, which would flush one that is there by then.
    """
    return "".join(
        "\n".join((f"*{table}", *(_restore_line(edit) for edit in expected), "COMMIT", ""))
        for table, expected in to_do.items()
    )


def _restore_line(edit: Edit) -> str:
    if isinstance(edit, NewChain):
        return f"-N {edit.chain}"
    if isinstance(edit, FlushChain):
        return f"-F {edit.chain}"
    if isinstance(edit, DeleteChain):
        return f"-X {edit.chain}"
    if isinstance(edit, DeleteRule):
        return f"-D {edit.chain} {edit.text}"
    return f"{'-I' if edit.first else '-A'} {edit.chain} {render(edit.rule)}"
