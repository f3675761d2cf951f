"""Which steps an attachment takes. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cni_bridge import NAME
from cni_bridge.config import Config
from cni_bridge.facts import Facts, Record
from cni_bridge.steps.bridge import EnsureBridge, EnsureVlanLink
from cni_bridge.steps.container import ConfigureInterface
from cni_bridge.steps.frame_filter import FilterFrames
from cni_bridge.steps.gateway import AssignGateway, EnableForwarding
from cni_bridge.steps.pair import CreatePair, JoinBridge, SetVlans, ifname_taken
from cni_bridge.steps.repair import settings_of
from cni_bridge.steps.sources import RouteBySource
from linkspan.call.records import WriteRecord
from linkspan.call.sandbox import Sandbox
from linkspan.call.transaction import Plan, Step
from linkspan.cni.addresses import FAMILIES, LEAST_MTU, Family
from linkspan.cni.errors import AlreadyAttached, InvalidConfig
from linkspan.cni.model import NO_DNS, Address, Dns, Route
from linkspan.netfilter.backend import Backend
from linkspan.steps.closing import Close
from linkspan.steps.extras import Warn
from linkspan.steps.forwarding import accept_forwarding
from linkspan.steps.isolation import AllowForwarding, Isolate
from linkspan.steps.masquerade import Masquerade

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment, Request, Result
    from linkspan.steps.occupied import Used

ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
#: How much worse than the previous one the metric of each further default route of a container is.
METRIC_STEP = 100
_SCOPE_LINK = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What an attachment is to have: addresses with their gateways, routes, the interface's MAC address.

    `forwards` is the link that iptables sees the container's packets come from: that of the gateway if there
    is one, else the bridge. `backend` is for masquerading, None without it. `sandbox` is the container's
    namespace. `by_source` are the interfaces whose addresses get routes of their own: all of the container,
    if it is on several networks. `dns` is IPAM's. `warnings` say what is asked for and cannot be.
    """

    addresses: tuple[Address, ...]
    routes: tuple[Route, ...]
    mac: str
    forwards: str
    backend: Backend | None
    sandbox: Sandbox
    by_source: tuple[str, ...] = ()
    dns: Dns = NO_DNS
    warnings: tuple[str, ...] = ()

    @property
    def cidrs(self) -> tuple[str, ...]:
        """The addresses in CIDR form."""
        return tuple(each.address for each in self.addresses)

    @property
    def gateways(self) -> tuple[str, ...]:
        """The addresses of the gateways in CIDR form."""
        return tuple(f"{each.gateway}/{each.address.partition('/')[2]}" for each in self.addresses)

    @property
    def families(self) -> tuple[Family, ...]:
        """The address families in use, each once."""
        present = {each.family for each in self.addresses}
        return tuple(family for family in FAMILIES if family in present)


def refuse_second(request: Request, facts: Facts) -> None:
    """Raise AlreadyAttached if the attachment or an interface of its name exists, before IPAM is called."""
    attachment = request.attachment
    if facts.has_host_end:
        raise AlreadyAttached(
            f"{attachment.ifname} of container {attachment.short_id} is attached already",
            f"{attachment} has the link {attachment.host_veth}; DEL it first",
        )
    if facts.has_interface:
        raise ifname_taken(attachment, request.netns)


def first_record(request: Request, config: Config, facts: Facts) -> WriteRecord:
    """The step before IPAM is called: what DEL must know to return the address."""
    record = Record(
        bridge=config.bridge,
        ipam=request.config.get("ipam"),
        backend=facts.backend,
        internal=config.internal,
        isolated=config.isolated,
        sandbox=facts.sandbox,
    )
    return WriteRecord(NAME, request.attachment, record.to_record())


def layout_of(request: Request, config: Config, facts: Facts, ipam: Result) -> Layout:
    """What the result of IPAM means for this attachment.

    Raises InvalidConfig for an MTU that is too small for an address.
    """
    addresses = tuple(_with_gateway(config, each) for each in ipam.ips)
    _refuse_small_mtu(config, addresses)
    families = {each.family for each in addresses}
    routes = [each for each in _routes(config, addresses, ipam.routes) if each.family in families]
    return Layout(
        addresses=addresses,
        routes=tuple(_with_metric(each, facts.default_metrics) for each in routes),
        mac=config.mac or _mac_for(request.attachment, addresses),
        forwards=config.forwarding_link(has_addresses=bool(addresses)),
        backend=facts.backend if addresses else None,
        by_source=(*facts.others, request.ifname) if facts.others and addresses else (),
        sandbox=facts.sandbox,
        dns=ipam.dns,
        warnings=tuple(_impossible(config, families, ipam.routes)),
    )


def _refuse_small_mtu(config: Config, addresses: Sequence[Address]) -> None:
    if config.mtu and any(config.mtu < LEAST_MTU[each.family] for each in addresses):
        raise InvalidConfig(
            f"$.mtu: {config.mtu} is too small for IPv6, which needs {LEAST_MTU[6]} bytes (RFC 8200, 5)",
            f"set mtu to {LEAST_MTU[6]} or more, or remove the IPv6 range",
        )


def _impossible(config: Config, families: Set[Family], routes: Sequence[Route]) -> Iterator[str]:
    """What the configuration asks for that the addresses do not allow, as sentences."""
    if config.ip_masq and not families:
        yield "$.ipMasq: nothing is masqueraded, as there is no ipam and so no address"
    for each in routes:
        if each.family not in families:
            yield f"$.ipam.routes: {each.dst} is left out, as the container has no IPv{each.family} address"


def refuse_overlap(layout: Layout, used: Sequence[Used]) -> Iterator[Step]:
    """Raise InvalidConfig if the host would lose the way to addresses that it uses.

    The steps are warnings: about wider routes, and other networks of containers with the same addresses.
    """
    if not used:
        return
    from linkspan.steps.occupied import conflicts, wide_routes

    cidrs = (*layout.gateways, *layout.cidrs)
    for subnet in dict.fromkeys(ipaddress.ip_interface(each).network for each in cidrs):
        for each in conflicts(subnet, used):
            overlap = f"$.ipam: {subnet} overlaps {each.network} ({each.by})"
            if not each.ours:
                raise InvalidConfig(
                    overlap,
                    "choose a subnet that this host does not use, or remove refuseOverlap: "
                    "then it can lose the connection to these addresses",
                )
            yield Warn(f"{overlap}, another network of containers: only one of them is reachable")
        for each in wide_routes(subnet, used):
            route = f"{each.network} ({each.by})"
            yield Warn(f"$.ipam: {subnet} is part of {route}: this host no longer reaches that part")


def plan_for(request: Request, config: Config, layout: Layout) -> Plan:
    """The bridge, the pair, the container's side, the gateway, packet rules; in this order."""
    attachment, record = request.attachment, record_of(request, config, layout)
    return (
        EnsureBridge(
            config.bridge,
            config.mtu,
            promisc=config.promisc,
            vlan_filtering=config.has_vlans,
            ipv6=_has_ipv6_gateway(config, layout),
        ),
        WriteRecord(NAME, attachment, record.to_record()),
        CreatePair(attachment, request.netns, layout.mac, config.mtu),
        *_port(attachment, config, record),
        *_interface(request, config, layout),
        *_gateway(attachment, config, layout),
        *_rules(attachment, config, layout),
        *(Warn(f"bridge: {each}") for each in layout.warnings),
    )


def _has_ipv6_gateway(config: Config, layout: Layout) -> bool:
    return config.is_gateway and 6 in layout.families


def record_of(request: Request, config: Config, layout: Layout) -> Record:
    """What DEL, GC and a reload must know of an attachment."""
    return Record(
        bridge=config.bridge,
        ipam=request.config.get("ipam"),
        backend=layout.backend,
        internal=config.internal,
        isolated=config.isolated,
        forwards=layout.forwards,
        addresses=layout.cidrs,
        guarded=layout.mac if config.spoof_check else "",
        bound=layout.mac if config.arp_check else "",
        routed=bool(layout.by_source),
        sandbox=layout.sandbox,
        links=settings_of(config, layout.gateways if config.is_gateway else ()).to_record(),
    )


def _port(attachment: Attachment, config: Config, record: Record) -> Iterator[Step]:
    port = attachment.host_veth
    yield JoinBridge(port, config.bridge, hairpin=config.hairpin, isolated=config.port_isolation)
    if config.has_vlans:
        yield SetVlans(
            port, config.untagged_vlan, config.tagged_vlans, keep_default=config.preserve_default_vlan
        )
    if record.is_filtered:
        yield FilterFrames(attachment, record.guarded, record.bound, record.addresses or ())
    if config.isolated:
        # After the port joined the bridge, see `reopen`, and before the container has an address.
        yield Close(record.forwards, config.bridge, port)


def _interface(request: Request, config: Config, layout: Layout) -> Iterator[Step]:
    if config.interface_up:
        yield ConfigureInterface(
            request.netns,
            request.ifname,
            layout.addresses,
            layout.routes,
            nodad=config.nodad,
            accept_ra=config.accept_ra,
            own_sender=config.arp_check,
        )
        yield from (RouteBySource(request.netns, each) for each in layout.by_source)


def _gateway(attachment: Attachment, config: Config, layout: Layout) -> Iterator[Step]:
    if not config.is_gateway or not layout.addresses:
        return
    if config.vlan:
        ipv6 = _has_ipv6_gateway(config, layout)
        yield EnsureVlanLink(config.gateway_link, config.bridge, config.vlan, ipv6=ipv6)
    yield AssignGateway(
        config.gateway_link,
        layout.gateways,
        bridge=config.bridge,
        port=attachment.host_veth,
        force=config.force_address,
        subnets=config.subnets,
    )


def _rules(attachment: Attachment, config: Config, layout: Layout) -> Iterator[Step]:
    if config.internal:
        yield Isolate(config.bridge)
    else:
        yield AllowForwarding(config.bridge)
        if config.is_gateway:
            yield EnableForwarding(layout.families)
    # Also without a gateway: with br_netfilter iptables sees bridged packets.
    yield accept_forwarding(layout.forwards, layout.families or FAMILIES)
    if layout.backend is not None:
        yield Masquerade(attachment, layout.cidrs, layout.backend)


def _with_gateway(config: Config, address: Address) -> Address:
    if address.gateway or not config.is_gateway:
        return address
    network = ipaddress.ip_interface(address.address).network
    return replace(address, gateway=str(network.network_address + 1))


def _routes(config: Config, addresses: Sequence[Address], routes: Sequence[Route]) -> list[Route]:
    """IPAM's routes with a gateway each, each once, without default routes if internal.

    With isDefaultGateway each family has a default route.
    """
    gateways = {each.family: each.gateway for each in reversed(addresses)}
    found = _each_once(
        each if each.gw or _is_on_link(each) else replace(each, gw=gateways.get(each.family, ""))
        for each in routes
    )
    if config.internal:
        return [each for each in found if not each.is_default]
    for family in sorted(gateways) if config.is_default_gateway else ():
        if not any(each.is_default and each.family == family for each in found):
            found.append(Route(dst=ANYWHERE[family], gw=gateways[family]))
    return found


def _each_once(routes: Iterable[Route]) -> list[Route]:
    """The routes without exact repetitions, in order."""
    found: list[Route] = []
    for each in routes:
        if each not in found:
            found.append(each)
    return found


def _is_on_link(route: Route) -> bool:
    """Whether a route must have no gateway: scope link (253) or narrower (linux/rtnetlink.h, rt_scope_t)."""
    return route.scope is not None and route.scope >= _SCOPE_LINK


def _with_metric(route: Route, default_metrics: Mapping[int, int]) -> Route:
    """The container's present default routes stay preferred."""
    worst = default_metrics.get(route.family)
    if not route.is_default or route.priority is not None or route.table or worst is None:
        return route
    return replace(route, priority=worst + METRIC_STEP)


def _mac_for(attachment: Attachment, addresses: Sequence[Address]) -> str:
    """02:42 and the IPv4 address, so that a reused address keeps its MAC address in neighbours' caches."""
    first = next((each for each in addresses if each.family == 4), None)
    if first is None:
        return attachment.container_mac
    return "02:42:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(first.ip).packed)
