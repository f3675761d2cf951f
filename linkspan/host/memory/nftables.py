"""The contract's Nftables in memory. It executes the nft commands that plans contain."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from linkspan.cni.errors import KernelRefused, ToolMissing
from linkspan.netfilter.nft_text import TABLE, normal
from linkspan.netfilter.rules import Element, NftChange

_COMMAND = re.compile(
    r"(?P<verb>add|create|insert|flush|delete) (?P<kind>table|chain|rule|set|map) "
    + f"(?P<table>{re.escape(TABLE)}|netdev linkspan_[0-9a-f]+)"
    + r"(?: (?P<name>\S+))?(?: (?P<rest>.*))?"
)


@dataclass
class MemoryTable:
    """Declared sets and maps with their elements by key, and chains with their rules."""

    sets: dict[str, dict[tuple[str, ...], Element]] = field(default_factory=dict)
    chains: dict[str, list[str]] = field(default_factory=dict)

    def copy(self) -> MemoryTable:
        """A copy that can be changed and dropped."""
        return MemoryTable(
            {name: dict(elements) for name, elements in self.sets.items()},
            {name: list(rules) for name, rules in self.chains.items()},
        )


class MemoryNftables:
    """Our tables in memory: `tables` has those that a change has added, by family and name.

    For tests: `available` is False on a host without nftables, and `others` has the rules of foreign tables:
    ("ip cni_hostport", "hostports") -> their texts.
    """

    def __init__(self, *, available: bool = True) -> None:
        self.available = available
        self.tables: dict[str, MemoryTable] = {}
        self.others: dict[tuple[str, str], list[str]] = {}

    @property
    def table(self) -> MemoryTable | None:
        """Our main table."""
        return self.tables.get(TABLE)

    @table.setter
    def table(self, table: MemoryTable | None) -> None:
        self.tables.pop(TABLE, None)
        if table is not None:
            self.tables[TABLE] = table

    def usable(self) -> bool:
        """See contract.Nftables."""
        return self.available

    def apply(self, change: NftChange) -> None:
        """See contract.Nftables."""
        if not self.available:
            raise ToolMissing("libnftables.so.1 is not installed on this host", "install libnftables1")
        tables = {name: each.copy() for name, each in self.tables.items()}
        for command in change.commands:
            _execute(tables, command)
        table = tables.get(TABLE)
        for name, key in change.remove:
            if table is not None:
                table.sets.get(name, {}).pop(normal(key), None)
        for element in change.add:
            if table is None or element.name not in table.sets:
                raise _refused(errno.ENOENT, f"no set {element.name}")
            table.sets[element.name][normal(element.key)] = element
        self.tables = tables

    def element(self, name: str, key: tuple[str, ...]) -> Element | None:
        """See contract.Nftables."""
        return self.table.sets.get(name, {}).get(normal(key)) if self.table is not None else None

    def elements(self, name: str) -> tuple[Element, ...]:
        """See contract.Nftables."""
        return tuple(self.table.sets.get(name, {}).values()) if self.table is not None else ()

    def chain(self, name: str, table: str = TABLE) -> tuple[str, ...] | None:
        """See contract.Nftables."""
        rules = self.tables[table].chains.get(name) if table in self.tables else None
        return tuple(rules) if rules is not None else None

    def count(self, chain: str) -> int:
        """See contract.Nftables."""
        return len(self.chain(chain) or ())

    def delete_rules(self, table: str, chain: str, chosen: Callable[[str], bool]) -> None:
        """See contract.Nftables."""
        if (table, chain) in self.others:
            self.others[table, chain] = [each for each in self.others[table, chain] if not chosen(each)]

    def lines(self) -> Iterator[str]:
        """Every element of our tables, and every chain, as a line."""
        for table in self.tables.values():
            for name, elements in table.sets.items():
                yield from (f"nftables {name} {element}" for element in elements.values())
            yield from (f"nftables {name} {rules}" for name, rules in table.chains.items())


def _refused(number: int, reason: str) -> KernelRefused:
    return KernelRefused(f"change the nftables table {TABLE}", number, reason)


def _execute(tables: dict[str, MemoryTable], command: str) -> None:
    """Execute one nft command of the kinds that plans use; all others would need the real nft."""
    matched = _COMMAND.fullmatch(" ".join(command.split()))
    if matched is None:
        raise _refused(errno.EINVAL, f"the host in memory does not know the command {command!r}")
    verb, kind, which, name, rest = matched.group("verb", "kind", "table", "name", "rest")
    if kind == "table":
        if verb == "delete":
            tables.pop(which, None)
        else:
            tables.setdefault(which, MemoryTable())
        return
    if which not in tables:
        raise _refused(errno.ENOENT, f"no table for {command!r}")
    table = tables[which]
    if kind == "rule":
        _add_rule(table, verb, name, rest)
    elif verb in ("add", "create"):
        _declare(table, kind, name)
    else:
        _clear_or_delete(table.chains if kind == "chain" else table.sets, verb, name)


def _add_rule(table: MemoryTable, verb: str, chain: str, rule: str) -> None:
    if chain not in table.chains:
        raise _refused(errno.ENOENT, f"no chain {chain}")
    rules = table.chains[chain]
    rules.insert(0 if verb == "insert" else len(rules), rule)


def _declare(table: MemoryTable, kind: str, name: str) -> None:
    if kind == "chain":
        table.chains.setdefault(name, [])
    else:
        table.sets.setdefault(name, {})


def _clear_or_delete(kept: dict[str, Any], verb: str, name: str) -> None:
    if name not in kept:
        raise _refused(errno.ENOENT, f"there is no {name}")
    if verb == "flush":
        kept[name].clear()
    else:
        del kept[name]
