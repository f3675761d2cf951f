"""Letting through what our bridges forward where the host's iptables drops it: Docker and ufw set that policy.

An accept in a table of our own would not help: a packet meets every table on its way, and one drop is final (nft(8), "VERDICT
STATEMENTS"). So these are rules of iptables whichever back end publishes and masquerades. They stand last in FORWARD: what
anybody else decides there stays decided, and only the policy does not befall our packets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from linkspan.call.transaction import Undo, keep
from linkspan.cni.errors import KernelRefused
from linkspan.netfilter.iptables_check import absent
from linkspan.netfilter.rules import Change, Family, Jump, Match, Rule

if TYPE_CHECKING:
    from linkspan.host.contract import Host

CHAIN = "LINKSPAN-FORWARD"


@dataclass(frozen=True, slots=True)
class PermitForwarding:
    """What comes from an interface, and what answers it or was published on it, is forwarded. Shared: never undone."""

    interface: str
    families: tuple[Family, ...]

    def do(self, host: Host) -> Undo:
        try:
            for family in _dropping(host, self.interface, self.families):
                host.iptables.apply(family, "filter", rules(self.interface))
        except KernelRefused as error:
            # A table `filter` that was made with nft, say: whoever made it lets through what he wants to.
            host.warn(f"what {self.interface} forwards may be dropped: {error.msg}")
        return keep


def rules(interface: str) -> Change:
    """The rules of one interface, table filter."""
    wanted = Match("conntrack", (("ctstate", "RELATED,ESTABLISHED,DNAT"),))
    return Change(
        shared=(CHAIN,),
        jumps=(
            Jump(chain=CHAIN, rule=Rule(target="ACCEPT", in_interface=interface)),
            Jump(chain=CHAIN, rule=Rule(target="ACCEPT", out_interface=interface, matches=(wanted,))),
            Jump(chain="FORWARD", rule=Rule(target=CHAIN)),
        ),
    )


def missing(host: Host, interface: str, families: Iterable[Family]) -> list[str]:
    """What of it is needed here and is not there, as sentences; nothing where iptables takes no rule."""
    try:
        return [
            sentence
            for family in _dropping(host, interface, families)
            for sentence in absent(host.iptables.rules(family, "filter"), rules(interface))
        ]
    except KernelRefused:
        return []


def _dropping(host: Host, interface: str, families: Iterable[Family]) -> tuple[Family, ...]:
    """The families in which the host forwards nothing that it is not told to."""
    return dropping(host, "FORWARD", families) if interface else ()


def dropping(host: Host, chain: str, families: Iterable[Family]) -> tuple[Family, ...]:
    """The families in which the host's iptables drops by policy what its table filter sends through a built-in chain."""
    return tuple(
        each
        for each in families
        if host.iptables.usable(each) and host.iptables.policy(each, "filter", chain) == "DROP"
    )
