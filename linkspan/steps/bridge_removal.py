"""Removing what the attachments of a bridge shared and no DEL removes: for a network that is removed
itself.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from functools import partial
from ipaddress import ip_interface
from typing import TYPE_CHECKING

from linkspan.call.transaction import best_effort
from linkspan.cni.addresses import FAMILIES
from linkspan.cni.errors import KernelRefused
from linkspan.netfilter import closing, forwarding
from linkspan.netfilter.nft_table import DECLARED, dns_elements, subnet_chain
from linkspan.netfilter.rules import Element
from linkspan.steps import iptables, nft_table
from linkspan.steps.isolation import AllowForwarding

if TYPE_CHECKING:
    from linkspan.host.contract import Host

#: What a chain of nftables does for the containers of one subnet.
_PURPOSES = ("masq", "hairpin")


def remove_bridge_rules(host: Host, bridge: str, gateway_link: str) -> None:
    """Remove the rules that name a bridge or its gateway link (the same, or that of a VLAN).

    Nothing is done while links are ports of the bridge; whatever is absent is fine. Raises CniError.
    """
    links = host.links()
    link = links.get(bridge)
    if link is not None and (link.kind != "bridge" or links.all(master=link.index)):
        return
    gateways = links.addresses(gateway_link) if links.get(gateway_link) is not None else ()
    names = tuple(dict.fromkeys((bridge, gateway_link)))
    best_effort(
        partial(_remove_elements, host, names, gateways),
        partial(_remove_rules, host, names),
        partial(AllowForwarding(bridge).do, host),
    )


def _remove_elements(host: Host, names: Iterable[str], gateways: Iterable[str]) -> None:
    if not host.nftables.usable():
        return
    addresses = [str(ip_interface(each).ip) for each in gateways]
    nft_table.remove(host, (*(one for each in names for one in _elements(each)), *dns_elements(addresses)))
    for each in gateways:
        for purpose in _PURPOSES:
            _remove_chain(host, subnet_chain(purpose, str(ip_interface(each).network)))


def _elements(name: str) -> Iterator[Element]:
    """The elements of a link's name in every set of link names."""
    for _, declared, kind in DECLARED:
        parts = kind.split(" . ")
        if set(parts) == {"ifname"}:
            yield Element(name=declared, key=(name,) * len(parts))


def _remove_chain(host: Host, chain: str) -> None:
    """Remove the chain of a subnet, unless another bridge has the same subnet: then it is still in use."""
    try:
        nft_table.remove_chains(host, (chain,))
    except KernelRefused as error:
        if error.errno != errno.EBUSY:
            raise


def _remove_rules(host: Host, names: Iterable[str]) -> None:
    for each in names:
        removals = [forwarding.removal(each)]
        if not host.nftables.usable():
            removals.append(closing.removal(each))
        for removal in removals:
            iptables.remove(host, {family: {"filter": removal} for family in FAMILIES})
