"""The contract's Iptables and Conntrack in memory."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping

from linkspan.cni.addresses import Family
from linkspan.cni.errors import KernelRefused
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
from linkspan.netfilter.rules import Change, Flow

_BUILT_IN = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "raw": ("PREROUTING", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
#: Targets that are not chains.
_TARGETS = frozenset(
    [
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
    ]
)


class MemoryIptables:
    """The tables of both families; `tables[4, "nat"]["POSTROUTING"]` is a list of rules as iptables-save
    prints them.

    For tests: `families` are those whose iptables is installed, `policies[4, "filter", "FORWARD"]` may be
    "DROP", and `foreign` are tables such as (4, "nat") that another program made with nft.
    """

    def __init__(self, *, families: tuple[Family, ...] = (4, 6)) -> None:
        self.families = families
        self.tables: dict[tuple[Family, str], dict[str, list[str]]] = {}
        self.policies: dict[tuple[Family, str, str], str] = {}
        self.foreign: set[tuple[Family, str]] = set()

    def usable(self, family: Family) -> bool:
        """See contract.Iptables."""
        return family in self.families

    def readable(self, family: Family, table: str) -> bool:
        """See contract.Iptables."""
        return (family, table) not in self.foreign

    def rules(self, family: Family, table: str) -> Chains:
        """See contract.Iptables."""
        return {chain: tuple(rules) for chain, rules in self._chains(family, table).items()}

    def policy(self, family: Family, table: str, chain: str) -> str:
        """See contract.Iptables."""
        return self.policies.get((family, table, chain), "ACCEPT")

    def apply(self, family: Family, table: str, change: Change) -> None:
        """See contract.Iptables."""
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
        self.tables[family, table] = chains

    def apply_all(self, family: Family, changes: Mapping[str, Change]) -> None:
        """See contract.Iptables."""
        for table, change in changes.items():
            self.apply(family, table, change)

    def lines(self) -> Iterator[str]:
        """Every rule, and every chain that is not built in, as a line."""
        for (family, table), chains in self.tables.items():
            for chain, rules in chains.items():
                empty = [] if chain in _BUILT_IN[table] else [""]
                yield from (f"iptables {family} {table} {chain} {rule}" for rule in rules or empty)

    def _chains(self, family: Family, table: str) -> dict[str, list[str]]:
        if table not in _BUILT_IN:
            raise _refused(errno.ENOENT, f"Table {table} does not exist")
        if not self.readable(family, table):
            raise _refused(errno.EOPNOTSUPP, f"Table `{table}' is incompatible, use 'nft' tool.")
        return self.tables.get((family, table)) or {chain: [] for chain in _BUILT_IN[table]}


class MemoryConntrack:
    """The contract's Conntrack; `flows` are those that are tracked."""

    def __init__(self) -> None:
        self.flows: list[Flow] = []

    def flush(self, flows: Iterable[Flow]) -> int:
        """See contract.Conntrack."""
        expected = list(flows)
        kept = [each for each in self.flows if not any(_matches(flow, each) for flow in expected)]
        deleted = len(self.flows) - len(kept)
        self.flows = kept
        return deleted


def _refused(number: int, reason: str) -> KernelRefused:
    return KernelRefused("change its packet rules", number, reason)


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


def _matches(expected: Flow, flow: Flow) -> bool:
    return (
        (expected.family, expected.protocol) == (flow.family, flow.protocol)
        and expected.to_port in (0, flow.to_port)
        and expected.to_address in ("", flow.to_address)
        and expected.reply_from in ("", flow.reply_from)
    )
