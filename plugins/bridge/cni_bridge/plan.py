"""Which steps an attachment takes. Pure: configuration and IPAM's answer in, steps out."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cni_bridge import spoof, steps
from cni_bridge.config import Config
from linkspan.call.transaction import Plan, Step
from linkspan.cni.addresses import FAMILIES
from linkspan.cni.errors import InvalidConfig
from linkspan.cni.model import NO_DNS, Address, Dns, Route
from linkspan.netfilter.backend import Backend
from linkspan.netfilter.rules import Family
from linkspan.steps.forwarding import accept_forwarding
from linkspan.steps.isolation import AllowForwarding, Isolate
from linkspan.steps.masquerade import Masquerade

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment, Request, Result

ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
#: How much worse than the one before each further way out of a container is.
METRIC_STEP = 100
_SCOPE_LINK = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What an attachment is to look like: addresses with their gateways, routes, the container's MAC, a back end if it masquerades.

    `dns` is IPAM's.
    """

    addresses: tuple[Address, ...]
    routes: tuple[Route, ...]
    mac: str
    backend: Backend | None
    dns: Dns = NO_DNS

    @property
    def families(self) -> tuple[Family, ...]:
        """The address families in use, each once."""
        present = {each.family for each in self.addresses}
        return tuple(family for family in FAMILIES if family in present)


def layout_of(
    config: Config,
    attachment: Attachment,
    ipam: Result,
    default_metrics: dict[int, int],
    backend: Backend | None,
) -> Layout:
    """`default_metrics` is the worst metric among the container's default routes, by family: those it has stay preferred."""
    addresses = tuple(_with_gateway(config, each) for each in ipam.ips)
    routes = tuple(_behind(each, default_metrics) for each in _routes(config, addresses, ipam.routes))
    return Layout(
        addresses=addresses,
        routes=routes,
        mac=config.mac or _mac_for(attachment, addresses),
        backend=backend if addresses else None,
        dns=ipam.dns,
    )


def record_of(
    request: Request, config: Config, backend: Backend | None, layout: Layout | None = None
) -> dict[str, Any]:
    """What DEL, GC and a reload must know; without `layout` as much as is known before IPAM is asked."""
    return {
        "bridge": config.bridge,
        "forwards": _forwarding_link(config, layout) if layout else "",
        "ipam": request.config.get("ipam"),
        "backend": backend or "",
        "internal": config.internal,
        "addresses": [each.address for each in layout.addresses] if layout else None,
        "guarded": layout.mac if layout and config.spoof_check else "",
    }


def plan_for(request: Request, config: Config, layout: Layout) -> Plan:
    """The bridge, the pair, the container's side, the gateway, masquerading; in this order."""
    attachment = request.attachment
    plan: list[Step] = [
        steps.EnsureBridge(
            config.bridge, config.mtu, promisc=config.promisc, vlan_filtering=bool(config.vlans)
        ),
        steps.WriteRecord(attachment, record_of(request, config, layout.backend, layout)),
        steps.MakePair(attachment, request.netns, layout.mac, config.mtu),
        steps.JoinBridge(
            attachment.host_veth, config.bridge, hairpin=config.hairpin, isolated=config.port_isolation
        ),
    ]
    if config.vlans:
        plan.append(
            steps.SetVlans(attachment.host_veth, config.vlans, keep_default=config.preserve_default_vlan)
        )
    if config.spoof_check:
        plan.append(spoof.Guard(attachment, layout.mac))
    if config.interface_up:
        plan.append(
            steps.Furnish(request.netns, request.ifname, layout.addresses, layout.routes, nodad=config.nodad)
        )
    if _has_gateway(config, layout):
        gateways = tuple(_gateway_address(each) for each in layout.addresses)
        if config.vlan:
            plan.append(steps.EnsureVlanLink(config.gateway_link, config.bridge, config.vlan))
        plan.append(
            steps.BeGateway(
                config.gateway_link,
                gateways,
                bridge=config.bridge,
                port=attachment.host_veth,
                force=config.force_address,
            )
        )
    if config.internal:
        plan.append(Isolate(config.bridge))
    else:
        plan.append(AllowForwarding(config.bridge))
        if config.is_gateway:
            plan.append(steps.Forward(layout.families))
    # Also without a gateway: br_netfilter shows iptables what is only bridged.
    plan.append(accept_forwarding(_forwarding_link(config, layout), layout.families or FAMILIES))
    if layout.backend is not None:
        plan.append(Masquerade(attachment, tuple(each.address for each in layout.addresses), layout.backend))
    return tuple(plan)


def _has_gateway(config: Config, layout: Layout) -> bool:
    return config.is_gateway and bool(layout.addresses)


def _forwarding_link(config: Config, layout: Layout) -> str:
    """The link that iptables sees the containers' packets come from: that of the gateway if there is one, else the bridge."""
    return config.gateway_link if _has_gateway(config, layout) else config.bridge


def _with_gateway(config: Config, address: Address) -> Address:
    if address.gateway or not config.is_gateway:
        return address
    network = ipaddress.ip_interface(address.address).network
    return replace(address, gateway=str(network.network_address + 1))


def _gateway_address(address: Address) -> str:
    return f"{address.gateway}/{address.address.partition('/')[2]}"


def _routes(config: Config, addresses: Sequence[Address], routes: Sequence[Route]) -> list[Route]:
    """IPAM's routes with a gateway each; a default route of each family more if the bridge is the way out, none if internal."""
    gateways = {each.family: each.gateway for each in reversed(addresses)}
    wanted = [
        each if each.gw or _is_on_link(each) else replace(each, gw=gateways.get(each.family, ""))
        for each in routes
    ]
    if config.internal:
        return [each for each in wanted if not each.is_default]
    for family in sorted(gateways) if config.is_default_gateway else ():
        if not any(each.is_default and each.family == family for each in wanted):
            wanted.append(Route(dst=ANYWHERE[family], gw=gateways[family]))
    for each in wanted:
        if each.family not in gateways:
            raise InvalidConfig(
                f"$.ipam.routes: {each.dst} has no address of its family to go out from",
                "add a range of that family, or take the route out",
            )
    return wanted


def _is_on_link(route: Route) -> bool:
    """Whether a route asks to have no gateway: its scope is link (253) or narrower (linux/rtnetlink.h, rt_scope_t)."""
    return route.scope is not None and route.scope >= _SCOPE_LINK


def _behind(route: Route, default_metrics: dict[int, int]) -> Route:
    worst = default_metrics.get(route.family)
    if not route.is_default or route.priority is not None or route.table or worst is None:
        return route
    return replace(route, priority=worst + METRIC_STEP)


def _mac_for(attachment: Attachment, addresses: Sequence[Address]) -> str:
    first = next((each for each in addresses if each.family == 4), None)
    if first is None:
        return attachment.container_mac
    return "02:42:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(first.ip).packed)
