"""The steps of an ADD, and what is known before them."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from cni_portmap.config import Config
from cni_portmap.publication import Publication, first_address
from cni_portmap.steps import (
    Claim,
    ForgetFlows,
    OpenLoopback,
    PublishByIptables,
    PublishByNftables,
    ReflectToSelf,
)
from linkspan.forwarding import PermitForwarding
from linkspan.model import Result
from linkspan.nft_table import FAMILIES
from linkspan.plan import Plan

if TYPE_CHECKING:
    from linkspan.backend import Backend
    from linkspan.host.contract import Host
    from linkspan.model import Request


def publication_for(request: Request, config: Config, backend: Backend, host: Host) -> Publication:
    """What an ADD with this prevResult publishes."""
    result = request.prev_result or Result()
    address4, address6 = (first_address(result, request.ifname, family) for family in FAMILIES)
    return Publication(
        attachment=request.attachment,
        backend=backend,
        config=config,
        address4=address4,
        address6=address6,
        host_link=_host_link(result, host),
        interface=interface_towards(host, (address4 or address6).partition("/")[0]),
    )


def plan_for(publication: Publication) -> Plan:
    """Claim the ports, publish them, then forget the flows that led elsewhere."""
    return (Claim(publication), *rules_of(publication), ForgetFlows(publication))


def rules_of(publication: Publication) -> Plan:
    """The steps that make the rules, which is all that a reload repeats."""
    published = bool(publication.all_entries())
    return (
        *((PermitForwarding(publication.interface, publication.families),) if published else ()),
        *_publishing(publication),
        *((OpenLoopback(publication.interface),) if publication.needs_loopback() else ()),
        *((ReflectToSelf(publication.host_link),) if published and publication.config.snat else ()),
    )


def _publishing(publication: Publication) -> Plan:
    if publication.backend == "nftables":
        return (PublishByNftables(publication),)
    return tuple(PublishByIptables(publication, family) for family in publication.families)


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
