"""The contract's Iptables and Nftables in memory."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from linkspan.cni.errors import CniError, KernelRefused
from linkspan.netfilter.iptables_edits import (
    AddRule,
    DeleteChain,
    DeleteRule,
    Edit,
    FlushChain,
    NewChain,
    edits,
)
from linkspan.netfilter.iptables_meaning import meaning
from linkspan.netfilter.iptables_text import Chains, render
from linkspan.netfilter.nft_text import normal
from linkspan.netfilter.rules import Change, Element, Family, NftChange

_BUILT_IN = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "raw": ("PREROUTING", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
_TARGETS = frozenset(
    (
        "ACCEPT",
        "DROP",
        "RETURN",
        "REJECT",
        "MASQUERADE",
        "DNAT",
        "SNAT",
        "REDIRECT",
        "MARK",
        "CONNMARK",
        "LOG",
        "NFLOG",
    )
)


class Refusals:
    """What a fake refuses: `refuse("apply", error)` makes that method raise until `refuse("apply", None)`."""

    def __init__(self) -> None:
        self._refused: dict[str, CniError] = {}

    def refuse(self, method: str, error: CniError | None) -> None:
        """Make a method raise `error`, or no longer."""
        self._refused.pop(method, None)
        if error is not None:
            self._refused[method] = error

    def check(self, method: str) -> None:
        """Raise what this method is to refuse."""
        if method in self._refused:
            raise self._refused[method]


class MemoryIptables:
    """Both families' tables; `tables[4, "nat"]["POSTROUTING"]` is a list of rules as iptables-save prints them.

    `applied` has every change that was asked for, in order; `policies[4, "filter", "FORWARD"]` is "DROP" if a test says so,
    and `foreign` has the tables, such as (4, "nat"), that somebody made with nft.
    """

    def __init__(self, *, families: tuple[Family, ...] = (4, 6)) -> None:
        self.families = families
        self.tables: dict[tuple[Family, str], dict[str, list[str]]] = {}
        self.policies: dict[tuple[Family, str, str], str] = {}
        self.foreign: set[tuple[Family, str]] = set()
        self.applied: list[tuple[Family, str, Change]] = []
        self._refusals = Refusals()
        self.refuse = self._refusals.refuse

    def usable(self, family: Family) -> bool:
        """Whether the family is among `families`."""
        return family in self.families

    def readable(self, family: Family, table: str) -> bool:
        """Whether the table is not among `foreign`."""
        return (family, table) not in self.foreign

    def rules(self, family: Family, table: str) -> Chains:
        """Every chain of the table with its rules."""
        self._refusals.check("rules")
        return {chain: tuple(rules) for chain, rules in self._chains(family, table).items()}

    def policy(self, family: Family, table: str, chain: str) -> str:
        """A chain's policy, ACCEPT unless a test says otherwise."""
        self._refusals.check("policy")
        return self.policies.get((family, table, chain), "ACCEPT")

    def apply(self, family: Family, table: str, change: Change) -> None:
        """Carry out a change, or leave everything as it was."""
        self._refusals.check("apply")
        if change.only_removes and not self.readable(family, table):
            return
        present = self.rules(family, table)
        try:
            to_do = edits(present, change)
        except ValueError as error:
            raise _refused(errno.EINVAL, str(error)) from None
        chains = {chain: list(rules) for chain, rules in present.items()}
        for edit in to_do:
            _edit(chains, edit)
        self.applied.append((family, table, change))
        self.tables[family, table] = chains

    def apply_all(self, family: Family, changes: Mapping[str, Change]) -> None:
        """Carry out the changes of several tables, one after the other."""
        for table, change in changes.items():
            self.apply(family, table, change)

    def _chains(self, family: Family, table: str) -> dict[str, list[str]]:
        if table not in _BUILT_IN:
            raise _refused(errno.ENOENT, f"Table {table} does not exist")
        if not self.readable(family, table):
            raise _refused(errno.EOPNOTSUPP, f"Table `{table}' is incompatible, use 'nft' tool.")
        return self.tables.get((family, table)) or {chain: [] for chain in _BUILT_IN[table]}


def _refused(number: int, why: str) -> KernelRefused:
    return KernelRefused("change its packet rules", number, why)


def _edit(chains: dict[str, list[str]], edit: Edit) -> None:
    if isinstance(edit, NewChain):
        chains[edit.chain] = []
    elif isinstance(edit, FlushChain):
        chains[edit.chain].clear()
    elif isinstance(edit, DeleteChain):
        del chains[edit.chain]
    elif isinstance(edit, DeleteRule):
        del chains[edit.chain][edit.index]
    else:
        _add(chains, edit)


def _add(chains: dict[str, list[str]], edit: AddRule) -> None:
    text = render(edit.rule)
    target = meaning(text).target
    for needed in (edit.chain, *(() if target in _TARGETS or not target else (target,))):
        if needed not in chains:
            raise _refused(errno.ENOENT, f"chain {needed} does not exist")
    chains[edit.chain].insert(0 if edit.first else len(chains[edit.chain]), text)


@dataclass
class FakeTable:
    """What `nft` commands made: declared sets and maps with their elements by key, chains with their rules."""

    sets: dict[str, dict[tuple[str, ...], Element]] = field(default_factory=dict)
    chains: dict[str, list[str]] = field(default_factory=dict)

    def copy(self) -> FakeTable:
        """A copy that can be changed and thrown away."""
        return FakeTable(
            {name: dict(elements) for name, elements in self.sets.items()},
            {name: list(rules) for name, rules in self.chains.items()},
        )


class MemoryNftables:
    """Our table in memory: `table` is None until a change adds it. `applied` has every change that was carried out.

    `others` has the rules of other tables: ("ip cni_hostport", "hostports") -> their texts.
    """

    def __init__(self, *, available: bool = True) -> None:
        self.available = available
        self.table: FakeTable | None = None
        self.others: dict[tuple[str, str], list[str]] = {}
        self.applied: list[NftChange] = []
        self._refusals = Refusals()
        self.refuse = self._refusals.refuse

    def usable(self) -> bool:
        """Whether it was made `available`."""
        return self.available

    def apply(self, change: NftChange) -> None:
        """Carry out a change, or leave everything as it was."""
        self._refusals.check("apply")
        table = self.table.copy() if self.table is not None else None
        for command in change.commands:
            table = _obey(table, command)
        for name, key in change.remove:
            if table is not None:
                table.sets.get(name, {}).pop(normal(key), None)
        for element in change.add:
            if table is None or element.name not in table.sets:
                raise _nft_refused(errno.ENOENT, f"no set {element.name}")
            table.sets[element.name][normal(element.key)] = element
        self.table = table
        self.applied.append(change)

    def element(self, name: str, key: tuple[str, ...]) -> Element | None:
        """One element, or None."""
        self._refusals.check("element")
        return self.table.sets.get(name, {}).get(normal(key)) if self.table is not None else None

    def elements(self, name: str) -> tuple[Element, ...]:
        """All elements of a set."""
        self._refusals.check("elements")
        return tuple(self.table.sets.get(name, {}).values()) if self.table is not None else ()

    def chain(self, name: str) -> tuple[str, ...] | None:
        """The rules of a chain."""
        self._refusals.check("chain")
        rules = self.table.chains.get(name) if self.table is not None else None
        return tuple(rules) if rules is not None else None

    def count(self, chain: str) -> int:
        """How many rules a chain has, 0 also without such a chain."""
        self._refusals.check("count")
        return len(self.table.chains.get(chain, ())) if self.table is not None else 0

    def delete_rules(self, table: str, chain: str, chosen: Callable[[str], bool]) -> None:
        """Delete rules of another's chain."""
        self._refusals.check("delete_rules")
        if (table, chain) in self.others:
            self.others[table, chain] = [each for each in self.others[table, chain] if not chosen(each)]


def _nft_refused(number: int, why: str) -> KernelRefused:
    return KernelRefused("change the nftables table inet linkspan", number, why)


_COMMAND = re.compile(
    r"(?P<verb>add|create|insert|flush|delete) (?P<kind>table|chain|rule|set|map) inet linkspan"
    r"(?: (?P<name>\S+))?(?: (?P<rest>.*))?"
)


def _obey(table: FakeTable | None, command: str) -> FakeTable | None:
    """Obey one nft command of the kinds that plans use; whatever else would need the real one."""
    said = _COMMAND.fullmatch(" ".join(command.split()))
    if said is None:
        raise _nft_refused(errno.EINVAL, f"the fake does not know the command {command!r}")
    verb, kind, name, rest = said.group("verb", "kind", "name", "rest")
    if kind == "table":
        return None if verb == "delete" else table or FakeTable()
    if table is None:
        raise _nft_refused(errno.ENOENT, f"no table for {command!r}")
    if kind == "rule":
        _obey_rule(table, verb, name, rest)
    elif verb in ("add", "create"):
        _declare(table, kind, name)
    else:
        _clear_or_delete(table.chains if kind == "chain" else table.sets, verb, name)
    return table


def _obey_rule(table: FakeTable, verb: str, chain: str, rule: str) -> None:
    if chain not in table.chains:
        raise _nft_refused(errno.ENOENT, f"no chain {chain}")
    rules = table.chains[chain]
    rules.insert(0 if verb == "insert" else len(rules), rule)


def _declare(table: FakeTable, kind: str, name: str) -> None:
    if kind == "chain":
        table.chains.setdefault(name, [])
    else:
        table.sets.setdefault(name, {})


def _clear_or_delete(kept: dict[str, Any], verb: str, name: str) -> None:
    if name not in kept:
        raise _nft_refused(errno.ENOENT, f"there is no {name}")
    if verb == "flush":
        kept[name].clear()
    else:
        del kept[name]
