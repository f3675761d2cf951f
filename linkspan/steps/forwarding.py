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
from linkspan.steps.uplinks import read_uplinks

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
        for family in _dropping(host, self.chain, self.changes):
            host.iptables.apply(family, _TABLE, self.changes[family])

    def missing(self, host: Host) -> list[str]:
        """The rules that are needed and missing, as sentences; none of a table that iptables cannot read."""
        families = _dropping(host, self.chain, self.changes)
        return _missing(host, {family: self.changes[family] for family in families})


@dataclass(frozen=True, slots=True)
class AcceptForwarding:
    """Have what `interface` forwards accepted in these families, if FORWARD's policy is DROP. Never undone.

    Other interfaces reach it, too, if it is `admitted`. As AcceptDespitePolicy, what iptables cannot change
    is a warning.
    """

    interface: str
    families: tuple[Family, ...]
    admitted: bool = True

    def do(self, host: Host) -> Undo:
        optional(host, f"traffic forwarded from {self.interface} may be dropped", partial(self._apply, host))
        return keep

    def _apply(self, host: Host) -> None:
        families = _dropping(host, "FORWARD", self.families)
        if families:
            change = forwarding.change(self.interface, read_uplinks(host), admitted=self.admitted)
            for family in families:
                host.iptables.apply(family, _TABLE, change)

    def missing(self, host: Host) -> list[str]:
        """The rules that are needed and missing, as sentences; none of a table that iptables cannot read."""
        families = _dropping(host, "FORWARD", self.families)
        if not families:
            return []
        change = forwarding.expected(self.interface, read_uplinks(host), admitted=self.admitted)
        return _missing(host, dict.fromkeys(families, change))


def accept_forwarding(
    interface: str, families: Iterable[Family], *, admitted: bool = True
) -> AcceptForwarding:
    """The step that has a bridge's traffic forwarded in these families; none without an interface."""
    return AcceptForwarding(interface, tuple(families) if interface else (), admitted)


def replace_rule_of_earlier_versions(host: Host, interface: str) -> None:
    """Replace the rule that accepted what leads to anybody's bridge, if it is there, whatever the policy."""
    consequence = f"{forwarding.CHAIN} may accept whatever comes from {interface}"
    optional(host, consequence, partial(_replace, host, interface))


def _replace(host: Host, interface: str) -> None:
    for family in iptables.usable_families(host):
        if host.iptables.readable(family, _TABLE) and forwarding.has_rule_of_earlier_versions(
            host.iptables.rules(family, _TABLE), interface
        ):
            host.iptables.apply(family, _TABLE, forwarding.change(interface, read_uplinks(host)))


def _dropping(host: Host, chain: str, families: Iterable[Family]) -> tuple[Family, ...]:
    """Those of the families for which the policy of a built-in chain is DROP."""
    return tuple(
        family
        for family in iptables.usable_families(host, families)
        if host.iptables.policy(family, _TABLE, chain) == "DROP"
    )


def _missing(host: Host, changes: Mapping[Family, Change]) -> list[str]:
    return [
        sentence
        for family, change in changes.items()
        if host.iptables.readable(family, _TABLE)
        for sentence in iptables.missing(host, family, {_TABLE: change})
    ]
