"""Masquerading of what a container sends beyond its subnet (bridge's `ipMasq`), in both backends. Pure.

iptables has the reference's shape, which nerdctl removes by name: a chain `CNI-` and 24 hex digits for each
attachment, with jumps from POSTROUTING. nftables has an element for each container address and a chain for
each subnet.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from linkspan.cni.addresses import family_of, without_prefix
from linkspan.netfilter import iptables_names, nft_table
from linkspan.netfilter.nft_table import MULTICAST
from linkspan.netfilter.rules import NFT_FAMILY, Change, Element, Jump, Match, Rule

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment


def chain_name(attachment: Attachment) -> str:
    """The attachment's chain in the nat table."""
    return iptables_names.chain_name(iptables_names.MASQUERADING, attachment)


def change(attachment: Attachment, addresses: Sequence[str]) -> Change:
    """The rules for addresses (CIDR) of one family, table nat, in the reference's shape."""
    chain = chain_name(attachment)
    comment = _comment(attachment)
    rules: list[Rule] = []
    for each in addresses:
        interface = ipaddress.ip_interface(each)
        multicast = MULTICAST[interface.version]
        rules.append(Rule(target="ACCEPT", destination=str(interface.network), matches=(comment,)))
        rules.append(Rule(target="MASQUERADE", destination=f"! {multicast}", matches=(comment,)))
    return Change(
        remove_chains=(chain,),
        own=((chain, tuple(rules)),),
        jumps=tuple(Jump(chain="POSTROUTING", rule=rule) for rule in _jumps(attachment, addresses)),
    )


def removal(attachment: Attachment) -> Change:
    """What removes those rules, in each family."""
    return Change(remove_chains=(chain_name(attachment),))


def elements(attachment: Attachment, addresses: Sequence[str]) -> tuple[Element, ...]:
    """The elements for addresses (CIDR) of any family in our nftables table."""
    return tuple(_element(attachment, each) for each in addresses)


def subnet_chains(addresses: Sequence[str]) -> Iterator[nft_table.RegularChain]:
    """The chains that the elements lead to, one for each subnet: shared by its containers."""
    for subnet in dict.fromkeys(str(ipaddress.ip_interface(each).network) for each in addresses):
        yield nft_table.subnet_chain("masq", subnet), _subnet_rules(subnet)


def _comment(attachment: Attachment) -> Match:
    return iptables_names.comment(iptables_names.names(attachment))


def _jumps(attachment: Attachment, addresses: Sequence[str]) -> tuple[Rule, ...]:
    return tuple(
        Rule(target=chain_name(attachment), source=without_prefix(each), matches=(_comment(attachment),))
        for each in addresses
    )


def _subnet_rules(subnet: str) -> tuple[str, ...]:
    family = family_of(subnet)
    ip = NFT_FAMILY[family]
    return (f"{ip} daddr {subnet} return", f"{ip} daddr {MULTICAST[family]} return", "masquerade")


def _element(attachment: Attachment, address: str) -> Element:
    interface = ipaddress.ip_interface(address)
    return Element(
        name=f"masquerade{interface.version}",
        key=(str(interface.ip),),
        value=f"goto {nft_table.subnet_chain('masq', str(interface.network))}",
        comment=nft_table.comment(attachment),
    )
