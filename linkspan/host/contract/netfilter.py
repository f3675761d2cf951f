"""Packet rules of both backends, and tracked connections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from linkspan.cni.addresses import Family
from linkspan.netfilter.nft_text import TABLE
from linkspan.netfilter.rules import Change, Element, Flow, NftChange


class Iptables(Protocol):
    """The rules that have the reference's shape. Every method but `usable` raises ToolMissing, KernelRefused.

    A change of one table of one family is one transaction.
    """

    def usable(self, family: Family) -> bool:
        """Whether iptables of this family is installed, with the library that it may need."""

    def readable(self, family: Family, table: str) -> bool:
        """Whether iptables can read the table: it is unused, or has nothing in it that only nft can express.

        The answer yes may be remembered.
        """

    def apply(self, family: Family, table: str, change: Change) -> None:
        """Carry out a change atomically, safe against other writers. What is to be removed may be absent."""

    def apply_all(self, family: Family, changes: Mapping[str, Change]) -> None:
        """Carry out changes of several tables (name -> change) in order; each is atomic, not all together."""

    def rules(self, family: Family, table: str) -> Mapping[str, tuple[str, ...]]:
        """Chain -> rules as iptables-save prints them, without the leading `-A CHAIN`."""

    def policy(self, family: Family, table: str, chain: str) -> str:
        """The policy of a built-in chain: "ACCEPT" or "DROP"."""


class Nftables(Protocol):
    """Our own table, and foreign rules to be deleted. Every method raises KernelRefused, ToolMissing."""

    def usable(self) -> bool:
        """Whether libnftables is installed and this kernel has nf_tables. Does not raise ToolMissing."""

    def apply(self, change: NftChange) -> None:
        """Carry out a change atomically: commands, then removals (which may be absent), then additions."""

    def element(self, name: str, key: tuple[str, ...]) -> Element | None:
        """An element of a set or map of ours; None if it, its set or the table does not exist."""

    def elements(self, name: str) -> tuple[Element, ...]:
        """All elements of a set or map of ours; none if it does not exist."""

    def chain(self, name: str, table: str = TABLE) -> tuple[str, ...] | None:
        """The rules of a chain of a table of ours as nft prints them, without handles; None if it does not
        exist.

        For display and tests: the time it takes grows with the whole table.
        """

    def count(self, chain: str) -> int:
        """How many rules a chain of ours has, 0 if it does not exist. A big table does not slow it down."""

    def delete_rules(self, table: str, chain: str, chosen: Callable[[str], bool]) -> None:
        """Delete from a foreign chain the rules for which `chosen` is true, given what nft prints of them.

        `table` is family and name. Table and chain may be absent.
        """


class Conntrack(Protocol):
    """The kernel's table of tracked connections."""

    def flush(self, flows: Iterable[Flow]) -> int:
        """Delete the flows that match; how many there were. 0 on a kernel without connection tracking.

        Raises KernelRefused.
        """
