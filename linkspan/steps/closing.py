"""Closing an isolated network's link to everything but published connections, and opening it again.

In nftables if it is usable, else in iptables, whichever backend the configuration names: a program that puts
its own rules first again, as Docker does, cannot accept in iptables what nftables drops.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from linkspan.call.transaction import Undo, attempt
from linkspan.cni.addresses import FAMILIES
from linkspan.cni.errors import ToolMissing
from linkspan.netfilter import closing
from linkspan.netfilter.nft_table import RULES
from linkspan.netfilter.rules import NftChange
from linkspan.steps import iptables, nft_table
from linkspan.steps.backend import PACKAGES
from linkspan.steps.nft_table import ApplyNftables

if TYPE_CHECKING:
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True)
class Close:
    """Forward nothing to `link` but replies and published connections. Repeating it changes nothing.

    `link` is `bridge` or its link in a VLAN. Undone by `reopen` while `port` is the bridge's only one. Raises
    ToolMissing where neither backend works.
    """

    link: str
    bridge: str
    port: str = ""

    def do(self, host: Host) -> Undo:
        require(host)
        return attempt(
            host,
            partial(_close, host, self.link),
            partial(reopen, host, self.bridge, self.link, port=self.port),
        )

    def missing(self, host: Host) -> list[str]:
        """What is not there, as sentences."""
        return [f"the network of {self.link} is not closed to others: {each}" for each in self._missing(host)]

    def _missing(self, host: Host) -> list[str]:
        if host.nftables.usable():
            elements = closing.elements(self.link)
            return [*nft_table.missing_rules(host), *nft_table.missing_elements(host, elements)]
        return [
            sentence
            for family in iptables.usable_families(host)
            for sentence in iptables.missing(host, family, {"filter": closing.change(self.link)})
        ]


def require(host: Host) -> None:
    """Raise ToolMissing if this host has neither backend: then no network can be isolated."""
    if not host.nftables.usable() and not any(iptables.usable_families(host)):
        raise ToolMissing(
            "$.isolated: neither nftables nor iptables works on this host",
            f"{PACKAGES['nftables']}, {PACKAGES['iptables']}, or remove the key",
        )


def reopen(host: Host, bridge: str, link: str, *, port: str = "") -> None:
    """Forward to `link` again once its bridge has no port, or none but `port`.

    An ADD joins its port to the bridge before it closes the link, so that one of the two sees the other.
    """
    if _is_used(host, bridge, port):
        return
    _open(host, link)
    if _is_used(host, bridge, port):
        _close(host, link)


def _close(host: Host, link: str) -> None:
    if not host.nftables.usable():
        for family in iptables.usable_families(host):
            host.iptables.apply(family, "filter", closing.change(link))
    elif not _stands(host, link):
        ApplyNftables(NftChange(add=closing.elements(link))).do(host)


def _stands(host: Host, link: str) -> bool:
    """Whether nftables has what closes the link: all that the second ADD of a network asks."""
    return not nft_table.missing_elements(host, closing.elements(link)) and all(
        host.nftables.count(each) == len(RULES[each]) for each in closing.CHAINS
    )


def _open(host: Host, link: str) -> None:
    if host.nftables.usable():
        nft_table.remove(host, closing.elements(link))
    else:
        iptables.remove(host, {family: {"filter": closing.removal(link)} for family in FAMILIES})


def _is_used(host: Host, bridge: str, port: str) -> bool:
    """Whether the bridge has a port besides `port`; without one, mostly told by the bridge itself."""
    links = host.links()
    link = links.get(bridge)
    if link is None:
        return False
    return (link.lower_up and not port) or any(each.name != port for each in links.all(master=link.index))
