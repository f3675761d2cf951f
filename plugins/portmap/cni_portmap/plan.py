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
    address4 = first_address(result, request.ifname, 4)
    return Publication(
        attachment=request.attachment,
        backend=backend,
        config=config,
        address4=address4,
        address6=first_address(result, request.ifname, 6),
        host_link=_host_link(result, host),
        interface=interface_towards(host, address4.partition("/")[0]) if address4 else "",
    )


def plan_for(publication: Publication) -> Plan:
    """Claim the ports, publish them, then forget the flows that led elsewhere."""
    return (Claim(publication), *rules_of(publication), ForgetFlows(publication))


def rules_of(publication: Publication) -> Plan:
    """The steps that make the rules, which is all that a reload repeats."""
    opened = publication.needs_loopback() and publication.interface
    reflected = publication.config.snat and publication.host_link
    loopback: Plan = (OpenLoopback(publication.interface, publication.backend),) if opened else ()
    shared: Plan = (*loopback, *((ReflectToSelf(publication.host_link),) if reflected else ()))
    if publication.backend == "nftables":
        return (*shared, PublishByNftables(publication))
    families = tuple(family for family in FAMILIES if publication.entries(family))
    return (*shared, *(PublishByIptables(publication, family) for family in families))


def interface_towards(host: Host, address: str) -> str:
    """The host's interface that leads to an IPv4 address by the most specific route that is not the default, or ""."""
    wanted = ipaddress.ip_address(address)
    best, found = 0, ""
    for route in host.links().routes(4):
        length = int(route.dst.rpartition("/")[2])
        if length > best and wanted in ipaddress.ip_network(route.dst, strict=False):
            best, found = length, route.ifname
    return found


def _host_link(result: Result, host: Host) -> str:
    """The link whose being tells that the attachment lives: on the host, and no bridge, which outlives it."""
    links = host.links()
    for interface in result.host_side():
        link = links.get(interface.name)
        if link is not None and link.kind != "bridge":
            return link.name
    return ""
