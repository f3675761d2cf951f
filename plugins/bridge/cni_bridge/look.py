"""What CHECK sees of an attachment that is not as it should be, as sentences. Looks, and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni_bridge import handover, spoof
from cni_bridge.config import Config
from linkspan.cni.model import Interface, Result, Route
from linkspan.host.contract import KernelRoute, Link, Links, PortVlans
from linkspan.steps.isolation import Isolate
from linkspan.steps.masquerade import Masquerade

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment, Request
    from linkspan.host.contract import Host
    from linkspan.netfilter.backend import Backend


def wrong_outside(request: Request, host: Host, config: Config) -> list[str]:
    """What is wrong with the bridge, the host's end and the gateway."""
    links = host.links()
    bridge, outside = links.get(config.bridge), handover.host_end(request, links)
    if bridge is None:
        return [f"the bridge {config.bridge} is missing"]
    wrong = [] if bridge.up else [f"the bridge {config.bridge} is down"]
    if config.promisc and not bridge.promisc:
        wrong.append(f"the bridge {config.bridge} is not promiscuous")
    if outside is None:
        return [*wrong, f"the host's end {request.attachment.host_veth} is missing"]
    wrong += _wrong_port(links, config, bridge, outside)
    if config.is_gateway:
        wrong += _missing_gateways(links, config, _result(request), request.ifname)
    return wrong


def _wrong_port(links: Links, config: Config, bridge: Link, outside: Link) -> list[str]:
    if outside.master != bridge.index:
        return [f"{outside.name} is not a port of {config.bridge}"]
    # More than was asked for is no fault: portmap may have switched hairpin mode on, firewall isolation.
    wanted = [
        (outside.up, "is down"),
        (outside.hairpin or not config.hairpin, "has hairpin mode off"),
        (outside.isolated or not config.port_isolation, "has port isolation off"),
    ]
    wrong = [f"{outside.name} {what}" for right, what in wanted if not right]
    if config.vlans:
        present = links.vlans(outside.name)
        wrong += [
            f"{outside.name} lacks VLAN {each.first}"
            for each in config.vlans
            if not any(_holds(run, each) for run in present)
        ]
    return wrong


def _holds(run: PortVlans, wanted: PortVlans) -> bool:
    """Whether a run of VLANs that the kernel joined has these in it."""
    return run.first <= wanted.first and wanted.last <= run.last and run.untagged == wanted.untagged


def _missing_gateways(links: Links, config: Config, result: Result, ifname: str) -> list[str]:
    gateways = {each.gateway for each in result.addresses_of(ifname) if each.gateway}
    if not gateways:  # the link of a VLAN is made for the first gateway
        return []
    if config.vlan and links.get(config.gateway_link) is None:  # else it is the bridge, which is there
        return [f"the link {config.gateway_link} is missing"]
    present = {each.partition("/")[0] for each in links.addresses(config.gateway_link)}
    return [f"{config.gateway_link} lacks the gateway address {each}" for each in sorted(gateways - present)]


def wrong_inside(request: Request, host: Host, config: Config) -> list[str]:
    """What is wrong in the container: link, MAC, addresses, routes."""
    inside = host.links(request.netns)
    link = inside.get(request.ifname)
    if link is None:
        return [f"the interface {request.ifname} is missing in {request.netns}"]
    result = _result(request)
    present = inside.addresses(request.ifname)
    return [
        *_wrong_link(link, config, _stated(result, request.ifname)),
        *(
            f"{request.ifname} lacks the address {each.address}"
            for each in result.addresses_of(request.ifname)
            if each.address not in present
        ),
        *_missing_routes(inside, request, result),
    ]


def _wrong_link(link: Link, config: Config, stated: Interface | None) -> list[str]:
    if stated is None:
        return [f"prevResult has no interface {link.name} with a sandbox"]
    wrong = []
    if stated.mac and stated.mac.lower() != link.mac:
        wrong.append(f"{link.name} has the MAC {link.mac}, not {stated.mac}")
    if config.interface_up and not link.up:
        wrong.append(f"{link.name} is down")
    return wrong


def _missing_routes(inside: Links, request: Request, result: Result) -> list[str]:
    """Routes are prevResult's as a whole; those of families that this interface lacks belong to another one."""
    families = {each.family for each in result.addresses_of(request.ifname)}
    present = [
        route
        for family in (4, 6)
        if family in families
        for route in inside.routes(6 if family == 6 else 4, table=0)
    ]
    return [
        f"the route to {each.dst} is missing in the container"
        for each in result.routes
        if each.family in families and not any(_is(each, route) for route in present)
    ]


def _is(wanted: Route, present: KernelRoute) -> bool:
    """A default route may have been moved by a later plugin; any other leads where it was said to lead."""
    return wanted.dst == present.dst and (wanted.is_default or not wanted.gw or wanted.gw == present.gw)


def missing_rules(request: Request, host: Host, config: Config, backend: Backend | None) -> list[str]:
    """What is missing of masquerading, isolation and the guard against foreign MAC addresses."""
    attachment, result = request.attachment, _result(request)
    found: list[str] = []
    if backend is not None:
        addresses = tuple(each.address for each in result.addresses_of(request.ifname))
        found += Masquerade(attachment, addresses, backend).missing(host)
    if config.internal:
        found += Isolate(config.bridge).missing(host)
    if config.spoof_check:
        found += spoof.missing(host, attachment, _mac(host, request, attachment))
    return found


def _mac(host: Host, request: Request, attachment: Attachment) -> str:
    stated = _stated(_result(request), request.ifname)
    link = host.links(request.netns).get(request.ifname)
    return (stated.mac.lower() if stated else "") or (link.mac if link else attachment.container_mac)


def _stated(result: Result, ifname: str) -> Interface | None:
    return next((each for each in result.interfaces if each.sandbox and each.name == ifname), None)


def _result(request: Request) -> Result:
    return request.prev_result or Result()
