"""Which addresses the host uses already, and which of them a network of containers would take from it.

A gateway's subnet on a bridge becomes a connected route of the host: packets for every address in it go to
the containers from then on. Nothing here changes the host.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network
from typing import TYPE_CHECKING

from linkspan.cni.addresses import FAMILIES, Network, bridge_mac

if TYPE_CHECKING:
    from linkspan.host.contract import Host, KernelRoute, Link


@dataclass(frozen=True, slots=True)
class Used:
    """A range of addresses that a new network must avoid, and what uses it: "network web", "route via eth0".

    `strict` is false for a wide route (a VPN's 10.0.0.0/8): a subnet inside it is allowed with a warning.
    `ours` is true for a range of another network of containers, on a bridge that we created.
    """

    network: Network
    by: str
    strict: bool = True
    ours: bool = False


def used_by_host(host: Host, *, except_links: Iterable[str] = ()) -> Iterator[Used]:
    """The host's connected networks, next hops and routes, without those of some links.

    Raises KernelRefused.
    """
    links, excluded, connected = host.links(), frozenset(except_links), set()
    every = {each.name: each for each in links.all()}
    bridges = {each.index for each in every.values() if each.kind == "bridge"}
    ours = {each.name for each in every.values() if _is_ours(each, every)}
    for name, link in every.items():
        # A bridge port has no addresses, and there is one for each container.
        for address in () if link.master in bridges or name in excluded else links.addresses(name):
            network = ip_interface(address).network
            connected.add((str(network), name))
            yield Used(network, f"link {name}", ours=name in ours)
    for family in FAMILIES:
        for route in links.routes(family, table=0):
            if route.ifname not in excluded and (route.dst, route.ifname) not in connected:
                yield from _of_route(route, ours=route.ifname in ours)


def _is_ours(link: Link, every: dict[str, Link]) -> bool:
    """Whether a link is a bridge that we created, or the link of such a bridge in a VLAN."""
    bridge = every.get(link.name.rpartition(".")[0]) if link.kind == "vlan" else link
    return bridge is not None and bridge.kind == "bridge" and bridge.mac == bridge_mac(bridge.name)


def _of_route(route: KernelRoute, *, ours: bool) -> Iterator[Used]:
    if route.gw:
        yield Used(ip_network(route.gw), f"next hop of the route to {route.dst}", ours=ours)
    destination = ip_network(route.dst, strict=False)
    if destination.prefixlen and not destination.is_link_local and not destination.is_multicast:
        by = f"route through {route.ifname or route.gw}"
        yield Used(destination, by, strict=False, ours=ours)


def overlap(one: Network, other: Network) -> bool:
    """Whether two ranges of any family share an address."""
    return one.version == other.version and one.overlaps(other)


def overlaps(requested: Network, used: Iterable[Used]) -> list[Used]:
    """The used ranges that share addresses with a subnet; a default route never counts."""
    return [each for each in used if each.network.prefixlen and overlap(each.network, requested)]


def conflicts(requested: Network, used: Iterable[Used]) -> list[Used]:
    """Those that a subnet must not overlap: all but routes that are wider than the subnet."""
    return [
        each
        for each in overlaps(requested, used)
        if each.strict or each.network.prefixlen >= requested.prefixlen
    ]


def wide_routes(requested: Network, used: Iterable[Used]) -> list[Used]:
    """The routes that a subnet lies inside: worth a warning."""
    return [
        each
        for each in overlaps(requested, used)
        if not each.strict and each.network.prefixlen < requested.prefixlen
    ]
