"""What must be done to a table of iptables so that it becomes what a Change asks for. Pure.

The edits are computed here once, from the table's present rules and the Change, so that both variants of iptables and the host in
memory behave alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from linkspan.netfilter.iptables_meaning import Meaning, meaning
from linkspan.netfilter.iptables_text import Chains, render
from linkspan.netfilter.rules import Change, Jump, Rule


@dataclass(frozen=True, slots=True)
class NewChain:
    """Make a chain that must not exist."""

    chain: str


@dataclass(frozen=True, slots=True)
class EmptyChain:
    """Take all rules out of a chain that exists."""

    chain: str


@dataclass(frozen=True, slots=True)
class DeleteRule:
    """Take the rule at `index` (from 0, as the chain is at this edit) out; `text` is that rule as printed."""

    chain: str
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class AddRule:
    """Put a rule last in a chain, or first."""

    chain: str
    rule: Rule
    first: bool = False


@dataclass(frozen=True, slots=True)
class DropChain:
    """Delete a chain that is empty and that nothing jumps to."""

    chain: str


Edit = NewChain | EmptyChain | DeleteRule | AddRule | DropChain


def edits(present: Chains, change: Change) -> tuple[Edit, ...]:
    """What makes of the present chains those that the change asks for, in an order that both tools accept.

    Nothing is edited that is as asked. Raises ValueError for a rule that cannot be written.
    """
    own = {chain: rules for chain, rules in change.own if not _holds(present.get(chain), rules)}
    kept = {chain for chain, _ in change.own} | set(change.shared)
    gone = [chain for chain in change.remove_chains if chain in present and chain not in kept]
    jumps = tuple(_missing_jumps(present, change))
    made = dict.fromkeys((*own, *change.shared))
    return (
        *(EmptyChain(chain) for chain in (*gone, *own) if present.get(chain)),
        *(NewChain(chain) for chain in made if chain not in present),
        *_deletions(present, change, untouched={*gone, *(chain for chain, _ in change.own)}),
        *(AddRule(chain, rule) for chain, rules in own.items() for rule in rules),
        *jumps,
        *(DropChain(chain) for chain in gone),
    )


def _holds(present: tuple[str, ...] | None, rules: tuple[Rule, ...]) -> bool:
    if present is None or len(present) != len(rules):
        return False
    return all(meaning(text) == meaning(render(rule)) for text, rule in zip(present, rules, strict=True))


def _removed(change: Change, chain: str) -> set[Meaning]:
    return {meaning(render(rule)) for at, rule in change.remove if at == chain}


def _goes(text: str, change: Change, removed: set[Meaning]) -> bool:
    candidate = any(_may_say(text, wanted) for wanted in removed)
    if not candidate and not any(chain in text for chain in change.remove_chains):
        return False  # most rules of a busy table: not worth reading
    said = meaning(text)
    return said in removed or said.target in change.remove_chains


def _may_say(text: str, wanted: Meaning) -> bool:
    """Whether a rule names the target and the addresses of that meaning: cheaper than reading it."""
    addresses = (part for part in wanted.parts if part.startswith(("-s ", "-d ")))
    return wanted.target in text and all(address[3:] in text for address in addresses)


def _deletions(present: Chains, change: Change, *, untouched: set[str]) -> Iterator[DeleteRule]:
    moved = {(jump.chain, meaning(render(jump.rule))) for jump in displaced(present, change)}
    targets = _targets(change)
    for chain, rules in present.items():
        # Most chains of a busy table hold nothing that may go, and are not worth reading.
        if chain in untouched or not _mentions(rules, (*change.remove_chains, *targets.get(chain, ()))):
            continue
        removed = _removed(change, chain) | {said for at, said in moved if at == chain}
        # Whoever checks before he appends, as others do, leaves a jump twice when two of him run at once.
        once = dict.fromkeys(_wanted(change, chain) - removed, False)
        gone = 0
        for index, text in enumerate(rules):
            if _goes(text, change, removed) or _is_copy(text, once):
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
    """Whether a rule says what another before it said already; `once` has what may be said once -> whether it was."""
    for wanted, said in once.items():
        if _may_say(text, wanted) and meaning(text) == wanted:
            once[wanted] = True
            return said
    return False


def _missing_jumps(present: Chains, change: Change) -> Iterator[AddRule]:
    moved = displaced(present, change)
    seen: set[tuple[str, Meaning]] = set()
    for jump in change.jumps:
        wanted = (jump.chain, meaning(render(jump.rule)))
        if wanted not in seen and (jump in moved or _place(present, change, *wanted) is None):
            yield AddRule(jump.chain, jump.rule, jump.first)
        seen.add(wanted)


def displaced(present: Chains, change: Change) -> tuple[Jump, ...]:
    """The `first` rules that stand, but not above those that the change lists before them for the same chain."""
    found: list[Jump] = []
    highest: dict[str, int] = {}
    for jump in change.jumps:
        if not jump.first:
            continue
        place = _place(present, change, jump.chain, meaning(render(jump.rule)))
        below = place is not None and place > highest.get(jump.chain, place)
        if below:
            found.append(jump)
        # One that is put in its place is above all that stand.
        highest[jump.chain] = -1 if place is None or below else place
    return tuple(found)


def _place(present: Chains, change: Change, chain: str, wanted: Meaning) -> int | None:
    """Where in its chain the first rule of that meaning stands that this change leaves there."""
    if wanted in _removed(change, chain) or wanted.target in change.remove_chains:
        return None
    if any(chain == refilled for refilled, _ in change.own):
        return None
    for index, text in enumerate(present.get(chain, ())):
        if _may_say(text, wanted) and meaning(text) == wanted:
            return index
    return None


def restore_script(to_do: Mapping[str, Iterable[Edit]]) -> str:
    """The edits of each table as input for `iptables-restore --noflush`: a table's are carried out all or not at all.

    A chain is made with -N, never declared with `:CHAIN`, which would empty the one that somebody else made meanwhile.
    """
    return "".join(
        "\n".join((f"*{table}", *(_restore_line(edit) for edit in wanted), "COMMIT", ""))
        for table, wanted in to_do.items()
    )


def _restore_line(edit: Edit) -> str:
    if isinstance(edit, NewChain):
        return f"-N {edit.chain}"
    if isinstance(edit, EmptyChain):
        return f"-F {edit.chain}"
    if isinstance(edit, DropChain):
        return f"-X {edit.chain}"
    if isinstance(edit, DeleteRule):
        return f"-D {edit.chain} {edit.text}"
    return f"{'-I' if edit.first else '-A'} {edit.chain} {render(edit.rule)}"
