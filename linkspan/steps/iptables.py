"""Changes of iptables as steps, their check and their removal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from linkspan.call.transaction import Undo, attempt, best_effort
from linkspan.cni.addresses import FAMILIES, Family

if TYPE_CHECKING:
    from linkspan.host.contract import Host
    from linkspan.netfilter.rules import Change

#: Table -> what is changed in it.
Changes = Mapping[str, "Change"]


@dataclass(frozen=True, slots=True)
class ApplyIptables:
    """Change tables of one family. `removals` is the undo; what is shared with other attachments has none."""

    family: Family
    changes: Changes
    removals: Changes = field(default_factory=dict)

    def do(self, host: Host) -> Undo:
        # Each table is changed atomically, several are not.
        return attempt(
            host,
            partial(_apply, host, self.family, self.changes),
            partial(_apply, host, self.family, self.removals),
        )


def _apply(host: Host, family: Family, changes: Changes) -> None:
    if changes:
        host.iptables.apply_all(family, changes)


def usable_families(host: Host, families: Iterable[Family] = FAMILIES) -> Iterator[Family]:
    """Those of the families for which this host has iptables."""
    return (family for family in families if host.iptables.usable(family))


def missing(host: Host, family: Family, changes: Changes) -> list[str]:
    """The chains and rules that these changes make and that are not there, as sentences."""
    from linkspan.netfilter.iptables_check import absent

    return [
        sentence
        for table, change in changes.items()
        for sentence in absent(host.iptables.rules(family, table), change)
    ]


def remove(host: Host, removals: Mapping[Family, Changes]) -> None:
    """Carry out the removals of each family for which this host has iptables; absent rules are fine."""
    some = (family for family, changes in removals.items() if changes)
    best_effort(*(partial(_apply, host, family, removals[family]) for family in usable_families(host, some)))
