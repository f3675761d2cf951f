"""Masquerading an attachment's addresses; see `linkspan.netfilter.masquerade` for the rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from linkspan.call.transaction import Undo, best_effort, carry_out
from linkspan.cni.addresses import FAMILIES, by_family
from linkspan.netfilter import masquerade
from linkspan.netfilter.rules import NftChange
from linkspan.steps import iptables, nft_table
from linkspan.steps.iptables import ApplyIptables
from linkspan.steps.nft_table import ApplyNftables

if TYPE_CHECKING:
    from linkspan.cni.addresses import Family
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host
    from linkspan.netfilter.backend import Backend
    from linkspan.netfilter.nft_table import RegularChain

#: The maps with an element for each address.
MAPS = tuple(f"masquerade{family}" for family in FAMILIES)


@dataclass(frozen=True, slots=True)
class Masquerade:
    """Masquerade what these addresses (CIDR) send outside their subnets, except multicast. Idempotent."""

    attachment: Attachment
    addresses: tuple[str, ...]
    backend: Backend

    def do(self, host: Host) -> Undo:
        if self.backend == "iptables":
            return carry_out(self._families(), host)
        change = NftChange(add=masquerade.elements(self.attachment, self.addresses))
        return ApplyNftables(change, self._chains(), self.attachment).do(host)

    def _chains(self) -> tuple[RegularChain, ...]:
        return tuple(masquerade.subnet_chains(self.addresses))

    def _families(self) -> Iterable[ApplyIptables]:
        removal = {"nat": masquerade.removal(self.attachment)}
        for family, addresses in by_family(self.addresses).items():
            yield ApplyIptables(family, {"nat": masquerade.change(self.attachment, addresses)}, removal)

    def missing(self, host: Host) -> list[str]:
        """What is not there, as sentences; nothing without addresses, for which nothing is made."""
        if not self.addresses:
            return []
        if self.backend == "iptables":
            return [
                sentence
                for each in self._families()
                for sentence in iptables.missing(host, each.family, each.changes)
            ]
        return [
            *nft_table.missing_rules(host),
            *nft_table.missing_chains(host, self._chains()),
            *nft_table.missing_elements(host, masquerade.elements(self.attachment, self.addresses)),
        ]


def remove(
    host: Host,
    attachment: Attachment,
    addresses: Sequence[str] | None = None,
    *,
    backend: Backend | None = None,
) -> None:
    """Remove an attachment's masquerading, from both backends or from the given one.

    Without `addresses` all elements are read, as only their comments tell whose they are. Absent rules are
    fine.
    """
    removals: list[Undo] = []
    if backend != "iptables":
        removals.append(partial(_remove_elements, host, attachment, addresses))
    if backend != "nftables":
        families = FAMILIES if addresses is None else by_family(addresses)
        removals.append(partial(_remove_chains, host, attachment, families))
    best_effort(*removals)


def _remove_elements(host: Host, attachment: Attachment, addresses: Sequence[str] | None) -> None:
    if addresses is None:
        candidates = nft_table.elements_of(host, attachment, MAPS)
    elif host.nftables.usable():
        candidates = masquerade.elements(attachment, addresses)
    else:
        return
    nft_table.remove(host, candidates, attachment)


def _remove_chains(host: Host, attachment: Attachment, families: Iterable[Family]) -> None:
    iptables.remove(host, {family: {"nat": masquerade.removal(attachment)} for family in families})
