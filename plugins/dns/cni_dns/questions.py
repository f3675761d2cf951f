"""Letting questions through to the name server where the host's iptables drops by policy what it is sent: ufw sets that policy.

As in `linkspan.netfilter.forwarding` these rules stand last, in INPUT here: what anybody else decides there stays decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from linkspan.call.transaction import Undo, keep
from linkspan.cni.errors import KernelRefused
from linkspan.netfilter.forwarding import dropping
from linkspan.netfilter.iptables_check import absent
from linkspan.netfilter.masquerade import by_family
from linkspan.netfilter.rules import Change, Jump, Match, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linkspan.host.contract import Host
    from linkspan.netfilter.rules import Family

CHAIN = "LINKSPAN-INPUT"
_PORT = (("dport", "53"),)


@dataclass(frozen=True, slots=True)
class PermitQuestions:
    """What a bridge ("": any interface) brings for port 53 of these gateways is let in. Shared: never undone."""

    bridge: str
    gateways: tuple[str, ...]

    def do(self, host: Host) -> Undo:
        try:
            for family, change in self.changes(host):
                host.iptables.apply(family, "filter", change)
        except KernelRefused as error:
            # A table `filter` that was made with nft, say: whoever made it lets in what he wants to.
            host.warn(f"questions to {', '.join(self.gateways)} port 53 may be dropped: {error.msg}")
        return keep

    def missing(self, host: Host) -> list[str]:
        """What of it is needed here and is not there, as sentences; nothing where iptables takes no rule."""
        try:
            return [
                sentence
                for family, change in self.changes(host)
                for sentence in absent(host.iptables.rules(family, "filter"), change)
            ]
        except KernelRefused:
            return []

    def changes(self, host: Host) -> Iterator[tuple[Family, Change]]:
        """The rules of each family in which the host lets in nothing that it is not told to."""
        for family, gateways in by_family(self.gateways):
            if dropping(host, "INPUT", (family,)):
                yield family, rules(self.bridge, gateways)


def rules(bridge: str, gateways: tuple[str, ...]) -> Change:
    """The rules for gateways of one family, table filter."""
    accepted = [
        Rule(
            target="ACCEPT",
            in_interface=bridge,
            destination=each,
            protocol=protocol,
            matches=(Match(protocol, _PORT),),
        )
        for each in gateways
        for protocol in ("udp", "tcp")
    ]
    return Change(
        shared=(CHAIN,),
        jumps=(
            *(Jump(chain=CHAIN, rule=each) for each in accepted),
            Jump(chain="INPUT", rule=Rule(target=CHAIN)),
        ),
    )
