"""Packet rules of both back ends, and tracked flows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from linkspan.netfilter.rules import Change, Element, Family, Flow, NftChange


class Iptables(Protocol):
    """The reference-shaped rules. A change of one table of one family is one transaction."""

    def usable(self, family: Family) -> bool:
        """Whether the tool (or library) for this family is there and the kernel answers."""

    def readable(self, family: Family, table: str) -> bool:
        """Whether the table is one of iptables', as it is before anybody used it; `nft` makes others of the same name.

        That it is may be remembered.
        """

    def apply(self, family: Family, table: str, change: Change) -> None:
        """Carry out a change atomically, safe against other writers. Absent things to remove are fine."""

    def apply_all(self, family: Family, changes: Mapping[str, Change]) -> None:
        """The same for several tables (name -> change), in order: each is atomic, not all together."""

    def rules(self, family: Family, table: str) -> Mapping[str, tuple[str, ...]]:
        """Every chain of the table with its rules, each as iptables-save prints it without the leading `-A CHAIN `."""

    def policy(self, family: Family, table: str, chain: str) -> str:
        """What becomes of a packet at the end of a built-in chain: "ACCEPT" or "DROP"."""


class Nftables(Protocol):
    """Our own table, `inet linkspan`, and what others of our kind left in theirs. One `apply` is one atomic transaction."""

    def usable(self) -> bool:
        """Whether libnftables is there and the kernel answers."""

    def apply(self, change: NftChange) -> None:
        """Carry out a change atomically: commands first, then removals (absent is fine), then additions."""

    def element(self, name: str, key: tuple[str, ...]) -> Element | None:
        """One element of a set or map of ours, or None (also when there is no such set, or no table)."""

    def elements(self, name: str) -> tuple[Element, ...]:
        """All elements of a set or map of ours; empty when there is no such set."""

    def chain(self, name: str) -> tuple[str, ...] | None:
        """The rules of a chain of ours as nft prints them, without handles; None when there is no such chain.

        For people and tests: the cost grows with all that the table holds.
        """

    def count(self, chain: str) -> int:
        """How many rules a chain of ours has, 0 also when there is no such chain. The cost depends on nothing else."""

    def delete_rules(self, table: str, chain: str, chosen: Callable[[str], bool]) -> None:
        """Delete those rules of another's chain that are chosen, by what nft prints of them; `table` is family and name.

        Absent things are fine.
        """


class Conntrack(Protocol):
    """The kernel's table of flows."""

    def flush(self, flows: Iterable[Flow]) -> int:
        """Forget the flows that match; how many went. 0 where the kernel keeps no such table."""
