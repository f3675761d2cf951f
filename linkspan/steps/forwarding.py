"""Accepting packets that the policy of a built-in chain of iptables drops; see
`linkspan.netfilter.forwarding`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from linkspan.call.transaction import Undo, keep
from linkspan.netfilter import forwarding
from linkspan.steps import iptables
from linkspan.steps.extras import optional

if TYPE_CHECKING:
    from linkspan.cni.addresses import Family
    from linkspan.host.contract import Host
    from linkspan.netfilter.rules import Change

_TABLE = "filter"


@dataclass(frozen=True, slots=True)
class AcceptDespitePolicy:
    """Rules of table filter, needed in a family only where the policy of `chain` is DROP. Shared: never
    undone.

    A table that iptables cannot change, because nft made it, is a warning that begins with `consequence`:
    what it drops is then decided by whoever made it.
    """

    chain: str
    changes: Mapping[Family, Change]
    consequence: str

    def do(self, host: Host) -> Undo:
        optional(host, self.consequence, partial(self._apply, host))
        return keep

    def _apply(self, host: Host) -> None:
        for family in self._needed(host):
            host.iptables.apply(family, _TABLE, self.changes[family])

    def missing(self, host: Host) -> list[str]:
        """The rules that are needed and missing, as sentences; none of a table that iptables cannot read."""
        return [
            sentence
            for family in self._needed(host)
            if host.iptables.readable(family, _TABLE)
            for sentence in iptables.missing(host, family, {_TABLE: self.changes[family]})
        ]

    def _needed(self, host: Host) -> tuple[Family, ...]:
        return tuple(
            family
            for family in iptables.usable_families(host, self.changes)
            if host.iptables.policy(family, _TABLE, self.chain) == "DROP"
        )


def accept_forwarding(interface: str, families: Iterable[Family]) -> AcceptDespitePolicy:
    """The step that has a bridge's traffic forwarded in these families; none without an interface."""
    changes = dict.fromkeys(families if interface else (), forwarding.change(interface))
    return AcceptDespitePolicy("FORWARD", changes, f"traffic forwarded from {interface} may be dropped")
