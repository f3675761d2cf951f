"""What CHECK finds wrong. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni_bridge import takeover
from cni_bridge.config import Config
from cni_bridge.facts import read_backend, read_record
from cni_bridge.steps.bridge import EnsureBridge
from cni_bridge.steps.frame_filter import FilterFrames
from cni_bridge.steps.pair import JoinBridge, SetVlans
from cni_bridge.steps.sources import RouteBySource
from linkspan.cni.addresses import FAMILIES, without_prefix
from linkspan.cni.model import Interface, Result, Route
from linkspan.host.contract import KernelRoute, Link, Links
from linkspan.steps.closing import Close
from linkspan.steps.isolation import Isolate
from linkspan.steps.masquerade import Masquerade

if TYPE_CHECKING:
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host
    from linkspan.netfilter.backend import Backend


def problems(request: Request, config: Config, host: Host) -> list[str]:
    """What is missing of the links, addresses and routes of prevResult; if nothing, of the packet rules."""
    result = request.prev_result or Result()
    return [
        *_host_problems(request, config, host, result),
        *_container_problems(request, config, host, result),
    ] or _missing_rules(request, config, host, result)


def is_restorable(request: Request, config: Config, host: Host) -> bool:
    """Whether a reload cures what was found: it makes links and rules again, but nothing in the container.

    How a build before this one made the links is not known.
    """
    result = request.prev_result or Result()
    record = read_record(request.attachment, host)
    known = record is not None and record.links is not None
    return (
        (known or not _host_problems(request, config, host, result))
        and host.links().get(request.attachment.host_veth) is not None
        and not _container_problems(request, config, host, result)
    )


def _host_problems(request: Request, config: Config, host: Host, result: Result) -> list[str]:
    links = host.links()
    bridge = links.get(config.bridge)
    host_end = links.get(request.attachment.host_veth) or takeover.reported_host_end(request, links)
    if bridge is None:
        return [f"the bridge {config.bridge} is missing"]
    found = EnsureBridge(config.bridge, config.mtu, promisc=config.promisc).missing(host)
    if host_end is None:
        return [*found, f"the host end {request.attachment.host_veth} is missing"]
    port = host_end.name
    joined = JoinBridge(port, config.bridge, hairpin=config.hairpin, isolated=config.port_isolation)
    found += joined.missing(host)
    if config.has_vlans and host_end.master == bridge.index:
        found += SetVlans(port, config.untagged_vlan, config.tagged_vlans).missing(host)
    if config.is_gateway:
        found += _missing_gateways(links, config, result, request.ifname)
    return found


def _missing_gateways(links: Links, config: Config, result: Result, ifname: str) -> list[str]:
    gateways = {each.gateway for each in result.addresses_of(ifname) if each.gateway}
    if not gateways:  # the link of a VLAN is created for the first gateway
        return []
    if config.vlan and links.get(config.gateway_link) is None:
        return [f"the link {config.gateway_link} is missing"]
    present = {without_prefix(each) for each in links.addresses(config.gateway_link, link_local=True)}
    return [
        f"{config.gateway_link} is missing the gateway address {each}" for each in sorted(gateways - present)
    ]


def _container_problems(request: Request, config: Config, host: Host, result: Result) -> list[str]:
    links = host.links(request.netns)
    link = links.get(request.ifname)
    if link is None:
        return [f"the interface {request.ifname} is missing in {request.netns}"]
    present = links.addresses(request.ifname)
    record = read_record(request.attachment, host)
    return [
        *_interface_problems(link, config, result.interface_of(request.ifname)),
        *(
            f"{request.ifname} is missing the address {each.address}"
            for each in result.addresses_of(request.ifname)
            if each.address not in present
        ),
        *_missing_routes(links, request, result),
        *RouteBySource(request.netns, request.ifname).missing(
            host, made=record is not None and record.routed
        ),
    ]


def _interface_problems(link: Link, config: Config, reported: Interface | None) -> list[str]:
    if reported is None:
        return [f"prevResult has no interface {link.name} with a sandbox"]
    found = []
    if reported.mac and reported.mac.lower() != link.mac:
        found.append(f"{link.name} has the MAC address {link.mac}, not {reported.mac}")
    if config.interface_up and not link.up:
        found.append(f"{link.name} is down")
    return found


def _missing_routes(links: Links, request: Request, result: Result) -> list[str]:
    """The routes of prevResult are those of all interfaces; a family that this one lacks is another's."""
    families = {each.family for each in result.addresses_of(request.ifname)}
    present = [route for family in FAMILIES if family in families for route in links.routes(family, table=0)]
    return [
        f"the route to {each.dst} is missing in the container"
        for each in result.routes
        if each.family in families and not any(_is_route(route, each) for route in present)
    ]


def _is_route(present: KernelRoute, route: Route) -> bool:
    """Whether the kernel has a route as reported; a later plugin may have moved a default route."""
    return route.dst == present.dst and (route.is_default or not route.gw or route.gw == present.gw)


def _missing_rules(request: Request, config: Config, host: Host, result: Result) -> list[str]:
    attachment = request.attachment
    found: list[str] = []
    backend = _backend(request, config, host)
    addresses = tuple(each.address for each in result.addresses_of(request.ifname))
    if backend is not None:
        found += Masquerade(attachment, addresses, backend).missing(host)
    if config.isolated:
        link = config.forwarding_link(has_addresses=bool(result.addresses_of(request.ifname)))
        found += Close(link, config.bridge).missing(host)
    if config.internal:
        found += Isolate(config.bridge).missing(host)
    if config.spoof_check or config.arp_check:
        mac = _mac(request, host, result)
        guarded, bound = mac if config.spoof_check else "", mac if config.arp_check else ""
        found += FilterFrames(attachment, guarded, bound, addresses).missing(host)
    return found


def _backend(request: Request, config: Config, host: Host) -> Backend | None:
    """The backend that ADD used, None without masquerading."""
    if not config.ip_masq:
        return None
    record = read_record(request.attachment, host)
    return (record.backend if record is not None else None) or read_backend(config, host)


def _mac(request: Request, host: Host, result: Result) -> str:
    reported = result.interface_of(request.ifname)
    link = host.links(request.netns).get(request.ifname)
    return (reported.mac.lower() if reported else "") or (link.mac if link else "")
