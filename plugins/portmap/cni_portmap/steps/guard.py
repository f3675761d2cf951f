"""Restoring the guard of the host's loopback network before any other rule of a publication."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cni_portmap import rules_iptables, rules_nftables
from linkspan.call.transaction import Undo, keep
from linkspan.netfilter.rules import NftChange
from linkspan.steps import iptables, nft_table
from linkspan.steps.iptables import ApplyIptables
from linkspan.steps.nft_table import ApplyNftables

if TYPE_CHECKING:
    from cni_portmap.facts import Publication
    from linkspan.host.contract import Host
    from linkspan.netfilter.rules import Change, Element


@dataclass(frozen=True, slots=True)
class GuardLoopback:
    """Drop what a bridge to which 127.0.0.1 is routed sends to the host's loopback network."""

    publication: Publication

    def do(self, host: Host) -> Undo:
        if self.publication.backend == "nftables":
            ApplyNftables(NftChange(add=self._elements())).do(host)
        else:
            ApplyIptables(4, self._changes()).do(host)
        return keep

    def missing(self, host: Host) -> list[str]:
        """What of the guard is not there, as sentences."""
        if self.publication.backend == "nftables":
            return [*nft_table.missing_rules(host), *nft_table.missing_elements(host, self._elements())]
        return iptables.missing(host, 4, self._changes())

    def _elements(self) -> tuple[Element, ...]:
        return (rules_nftables.loopback_guard(self.publication.interface),)

    def _changes(self) -> Mapping[str, Change]:
        return {"raw": rules_iptables.loopback_guard(self.publication.interface)}
