"""What an ADD must know of the host, and what CHECK finds of its rules."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cni_portmap import claims, iptables_rules, nft_rules
from cni_portmap.publication import Publication, first_address
from linkspan.cni.addresses import FAMILIES
from linkspan.cni.model import Result
from linkspan.netfilter.iptables_check import absent
from linkspan.netfilter.nft_table import owned
from linkspan.netfilter.rules import Element
from linkspan.steps import nft_table
from linkspan.steps.forwarding import accept_forwarding

if TYPE_CHECKING:
    from cni_portmap.config import Config
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host
    from linkspan.netfilter.backend import Backend


def publication_for(
    request: Request, config: Config, backend: Backend, host: Host, earlier: Publication | None = None
) -> Publication:
    """What an ADD with this prevResult publishes; `earlier` is what one before it did."""
    result = request.prev_result or Result()
    address4, address6 = (first_address(result, request.ifname, family) for family in FAMILIES)
    host_link = _host_link(result, host)
    return Publication(
        attachment=request.attachment,
        backend=backend,
        config=config,
        address4=address4,
        address6=address6,
        host_link=host_link,
        interface=interface_towards(host, (address4 or address6).partition("/")[0]),
        reflects=_is_to_reflect(host, config, host_link) or (earlier is not None and earlier.reflects),
    )


def interface_towards(host: Host, address: str) -> str:
    """The host's interface that leads to an address by the most specific route that is not the default, or ""."""
    if not address:
        return ""
    wanted = ipaddress.ip_address(address)
    best, found = 0, ""
    for route in host.links().routes(6 if wanted.version == 6 else 4):
        length = int(route.dst.rpartition("/")[2])
        if length > best and wanted in ipaddress.ip_network(route.dst, strict=False):
            best, found = length, route.ifname
    return found


def _host_link(result: Result, host: Host) -> str:
    """The link whose being tells that the attachment lives: on the host, and no bridge, which outlives it."""
    links = host.links()
    for interface in reversed(result.host_side()):  # a bridge is listed before its port
        link = links.get(interface.name)
        if link is not None and link.kind != "bridge":
            return link.name
    return ""


def _is_to_reflect(host: Host, config: Config, host_link: str) -> bool:
    """Whether the container would not reach its own published port, and we are to change its bridge port for that."""
    if not host_link or not config.mappings or not config.snat:
        return False
    port = host.links().get(host_link)
    on_bridge = port is not None and bool(port.master) and not port.hairpin
    return on_bridge and host.links().sysctl("bridge/bridge-nf-call-iptables") not in (None, "0")


def missing(host: Host, publication: Publication) -> list[str]:
    """What of a publication's rules is not there, as sentences."""
    found = _missing_elements if publication.backend == "nftables" else _missing_rules
    permitted = publication.families if publication.all_entries() else ()
    return [*found(host, publication), *accept_forwarding(publication.interface, permitted).missing(host)]


def _missing_rules(host: Host, publication: Publication) -> list[str]:
    return [
        sentence
        for family in publication.families
        for table, change in iptables_rules.changes(publication, family).items()
        for sentence in absent(host.iptables.rules(family, table), change)
    ]


def _own_elements(host: Host, publication: Publication) -> Iterator[Element]:
    """A publication's elements but those that lead to its container through another network, which asked for the port too."""
    siblings = claims.siblings(host, publication)
    for each in nft_rules.elements(publication):
        present = host.nftables.element(each.name, each.key) if siblings else None
        if not any(owned(present, sibling) for sibling in siblings):
            yield each


def _missing_elements(host: Host, publication: Publication) -> list[str]:
    chains = (*nft_rules.subnet_chains(publication), *nft_rules.conditional_chains(publication))
    elements = (*nft_rules.shared_elements(publication), *_own_elements(host, publication))
    return [
        *nft_table.missing_rules(host),
        *nft_table.missing_chains(host, chains),
        *nft_table.missing_elements(host, elements),
    ]
