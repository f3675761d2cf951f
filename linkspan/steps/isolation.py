"""Isolating an internal network's bridge from all other links, and allowing it to forward again.

A file marks an isolated bridge, so that the ADDs of ordinary networks need not ask the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from linkspan import paths
from linkspan.call.transaction import Undo, keep
from linkspan.netfilter import isolation
from linkspan.netfilter.rules import NftChange
from linkspan.steps import iptables, nft_table
from linkspan.steps.nft_table import ApplyNftables
from linkspan.steps.sysctls import harden, require

if TYPE_CHECKING:
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True)
class Isolate:
    """Forward traffic only between the bridge's own ports. Shared: never undone. Repeating it changes
    nothing.

    In nftables if it is usable, else in iptables, whichever backend the configuration names.
    """

    bridge: str

    def do(self, host: Host) -> Undo:
        mark = _mark(host, self.bridge)
        if host.files.read(mark) is None:
            host.files.write(mark, b"")
        if host.nftables.usable():
            ApplyNftables(NftChange(add=isolation.elements(self.bridge))).do(host)
        else:
            for family in iptables.usable_families(host):
                host.iptables.apply(family, "filter", isolation.change(self.bridge))
        for version in ("ipv4", "ipv6"):
            harden(host, host.links(), f"{version}/conf/{self.bridge}/forwarding", "0")
        return keep

    def missing(self, host: Host) -> list[str]:
        """What of the isolation is not there, as sentences."""
        return [f"the network of {self.bridge} is not isolated: {each}" for each in self._missing(host)]

    def _missing(self, host: Host) -> list[str]:
        if host.nftables.usable():
            elements = isolation.elements(self.bridge)
            return [*nft_table.missing_rules(host), *nft_table.missing_elements(host, elements)]
        return [
            sentence
            for family in iptables.usable_families(host)
            for sentence in iptables.missing(host, family, {"filter": isolation.change(self.bridge)})
        ]


@dataclass(frozen=True, slots=True)
class AllowForwarding:
    """Let a bridge that was isolated forward again; one request of the host if it never was. Never undone."""

    bridge: str

    def do(self, host: Host) -> Undo:
        mark = _mark(host, self.bridge)
        if host.files.read(mark) is not None:
            _remove_rules(host, self.bridge)
            _forward_as_the_host(host, self.bridge)
            host.files.remove(mark)
        return keep


def _mark(host: Host, bridge: str) -> str:
    return paths.internal_mark(host.state_dir, bridge)


def _remove_rules(host: Host, bridge: str) -> None:
    if host.nftables.usable():
        nft_table.remove(host, isolation.elements(bridge))
    else:
        for family in iptables.usable_families(host):
            host.iptables.apply(family, "filter", isolation.removal(bridge))


def _forward_as_the_host(host: Host, bridge: str) -> None:
    links = host.links()
    for version in ("ipv4", "ipv6"):
        value = links.sysctl(f"{version}/conf/all/forwarding")
        if value is not None:
            require(links, f"{version}/conf/{bridge}/forwarding", value, f"{bridge} is isolated no longer")
