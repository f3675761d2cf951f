"""What CHECK finds wrong. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni_bridge import takeover
from cni_bridge.config import Config
from cni_bridge.facts import read_backend, read_record
from cni_bridge.steps.frame_filter import FilterFrames
from cni_bridge.steps.pair import port_vlans
from cni_bridge.steps.sources import RouteBySource
from linkspan.cni.addresses import FAMILIES, without_prefix
from linkspan.cni.model import Interface, Result, Route
from linkspan.host.contract import KernelRoute, Link, Links, PortVlans
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


def _host_problems(request: Request, config: Config, host: Host, result: Result) -> list[str]:
    links = host.links()
    bridge = links.get(config.bridge)
    host_end = links.get(request.attachment.host_veth) or takeover.reported_host_end(request, links)
    if bridge is None:
        return [f"the bridge {config.bridge} is missing"]
    found = [] if bridge.up else [f"the bridge {config.bridge} is down"]
    if config.promisc and not bridge.promisc:
        found.append(f"the bridge {config.bridge} is not promiscuous")
    if host_end is None:
        return [*found, f"the host end {request.attachment.host_veth} is missing"]
    found += _port_problems(links, config, bridge, host_end)
    if config.is_gateway:
        found += _missing_gateways(links, config, result, request.ifname)
    return found


def _port_problems(links: Links, config: Config, bridge: Link, port: Link) -> list[str]:
    if port.master != bridge.index:
        return [f"{port.name} is not a port of {config.bridge}"]
    # portmap may have enabled hairpin mode, and firewall port isolation.
    expected = [
        (port.up, "is down"),
        (port.hairpin or not config.hairpin, "has hairpin mode off"),
        (port.isolated or not config.port_isolation, "has port isolation off"),
    ]
    found = [f"{port.name} {problem}" for as_expected, problem in expected if not as_expected]
    if config.has_vlans:
        present = links.vlans(port.name)
        found += [
            f"{port.name} has no VLAN {each.first}"
            for each in port_vlans(config.untagged_vlan, config.tagged_vlans)
            if not any(_contains(run, each) for run in present)
        ]
    return found


def _contains(run: PortVlans, vlans: PortVlans) -> bool:
    """Whether `vlans` are part of a run that the kernel reports; it joins adjacent ones."""
    return run.first <= vlans.first and vlans.last <= run.last and run.untagged == vlans.untagged


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
