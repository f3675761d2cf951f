"""The elements and chains of a publication in our nftables table. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from linkspan.cni.addresses import FAMILIES, Family
from linkspan.netfilter import nft_table, relay
from linkspan.netfilter.rules import NFT_FAMILY, Element, NftChange

if TYPE_CHECKING:
    from cni_portmap.facts import Entry, Publication
    from linkspan.cni.model import Attachment

#: The sets and maps that hold elements of attachments.
MAPS = tuple(
    name
    for family in FAMILIES
    for name in (
        f"ports{family}",
        f"ports{family}_at",
        f"conditional{family}",
        f"conditional{family}_at",
        f"hairpin{family}",
        f"shielded{family}",
    )
) + tuple(name for _, name, _ in relay.DECLARED)


def change(publication: Publication) -> NftChange:
    """The whole publication in one transaction; it needs the chains of `subnet_chains`."""
    commands = tuple(
        command
        for name, rules in conditional_chains(publication)
        for command in nft_table.chain_with(name, rules)
    )
    return NftChange(commands=commands, add=(*shared_elements(publication), *elements(publication)))


def elements(publication: Publication) -> tuple[Element, ...]:
    """The elements that are the attachment's own."""
    note = nft_table.comment(publication.attachment)
    return (
        *(each for family in FAMILIES for each in _elements(publication, family)),
        *relay.elements(publication.relayed_ports(), note),
    )


def shared_elements(publication: Publication) -> tuple[Element, ...]:
    """The elements of the bridge."""
    bridge = publication.interface
    inside = Element(name="inside", key=(bridge,), comment=f"containers are behind {bridge}")
    return (
        *((loopback_guard(bridge),) if publication.routes_loopback() else ()),
        *((inside,) if publication.config.drop_direct_access and bridge else ()),
    )


def loopback_guard(bridge: str) -> Element:
    """Packets from a bridge to the host's loopback network are dropped."""
    return Element(name="localnet", key=(bridge,), comment=f"127.0.0.1 is published towards {bridge}")


def subnet_chains(publication: Publication) -> Iterator[nft_table.RegularChain]:
    """The chains, shared by a subnet, that masquerade connections whose replies would bypass the host."""
    for family in FAMILIES:
        if publication.translated(family) and publication.config.snat:
            yield _hairpin_chain(publication, family), _hairpin_rules(publication, family)


def conditional_chains(publication: Publication) -> Iterator[nft_table.RegularChain]:
    """The attachment's own chains, of ports that are published under conditions."""
    for family in FAMILIES:
        if publication.translated(family) and publication.config.conditions(family):
            yield (
                conditional_chain(publication.attachment, family),
                tuple(_conditional_rules(publication, family)),
            )


def conditional_chain(attachment: Attachment, family: Family) -> str:
    """The chain of an attachment whose ports are published under conditions."""
    return f"published{family}_{attachment.key[:16]}"


def _elements(publication: Publication, family: Family) -> Iterator[Element]:
    entries = publication.translated(family)
    note = nft_table.comment(publication.attachment)
    for entry in entries:
        yield _port(publication, entry, note)
    if entries and publication.config.snat:
        value = f"jump {_hairpin_chain(publication, family)}"
        yield Element(name=f"hairpin{family}", key=(entries[0].address,), value=value, comment=note)
    if publication.shielded(family):
        yield Element(name=f"shielded{family}", key=(publication.shielded(family),), comment=note)


def _port(publication: Publication, entry: Entry, note: str) -> Element:
    at = "_at" if entry.host_ip else ""
    key = (entry.protocol, *((entry.host_ip,) if entry.host_ip else ()), str(entry.host_port))
    if publication.config.conditions(entry.family):
        name = f"conditional{entry.family}{at}"
        value = f"jump {conditional_chain(publication.attachment, entry.family)}"
    else:
        name = f"ports{entry.family}{at}"
        value = f"{entry.address} . {entry.container_port}"
    return Element(name=name, key=key, value=value, comment=note)


def _hairpin_chain(publication: Publication, family: Family) -> str:
    if publication.config.masq_all:
        return f"hairpin_all{family}"
    return nft_table.subnet_chain("hairpin", publication.subnet(family))


def _hairpin_rules(publication: Publication, family: Family) -> tuple[str, ...]:
    if publication.config.masq_all:
        return ("masquerade",)
    if family == 6:
        return (f"ip6 saddr {publication.subnet(6)} masquerade",)
    return (f"ip saddr {{ {publication.subnet(4)}, 127.0.0.0/8 }} masquerade",)


def _conditional_rules(publication: Publication, family: Family) -> Iterator[str]:
    ip = NFT_FAMILY[family]
    condition = " ".join(publication.config.conditions(family))
    for entry in publication.translated(family):
        at = f"{ip} daddr {entry.host_ip} " if entry.host_ip else ""
        yield f"{condition} {at}{entry.protocol} dport {entry.host_port} dnat {ip} to {entry.target}"
