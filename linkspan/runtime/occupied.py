"""What a new network depends on: addresses, routes and name servers of the host, its MTU, its identity."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_interface, ip_network
from typing import TYPE_CHECKING

from linkspan.runtime.pools import Used

if TYPE_CHECKING:
    from linkspan.host.contract import Host, KernelRoute, Links

RESOLV_CONF, MACHINE_ID = "/etc/resolv.conf", "/etc/machine-id"
#: The MTU of a link that is not told otherwise.
ETHERNET_MTU = 1500


def used_by_host(host: Host, *, except_link: str = "") -> Iterator[Used]:
    """The host's connected networks, next hops, routes and name servers, without those of one link.

    Raises KernelRefused, IoFailure.
    """
    links, connected = host.links(), set()
    for link in links.all():
        # A bridge port has no addresses, and there is one for each container.
        for address in () if link.master or link.name in (except_link, "lo") else links.addresses(link.name):
            network = ip_interface(address).network
            connected.add((str(network), link.name))
            yield Used(network, f"link {link.name}")
    for family in (4, 6):
        for route in links.routes(family, table=0):
            if route.ifname != except_link and (route.dst, route.ifname) not in connected:
                yield from _of_route(route)
    for server in _name_servers(host):
        yield Used(ip_network(server), "name server in /etc/resolv.conf")


def _of_route(route: KernelRoute) -> Iterator[Used]:
    if route.gw:
        yield Used(ip_network(route.gw), f"next hop of the route to {route.dst}")
    destination = ip_network(route.dst, strict=False)
    if destination.prefixlen and not destination.is_link_local and not destination.is_multicast:
        yield Used(destination, f"route through {route.ifname or route.gw}", strict=False)


def _name_servers(host: Host) -> Iterator[str]:
    for line in (host.files.read(RESOLV_CONF) or b"").decode(errors="replace").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            with suppress(ValueError):
                yield str(ip_interface(words[1].partition("%")[0]).ip)


def default_mtu(links: Links) -> int:
    """The MTU of the link of the preferred default route, IPv4's before IPv6's; 0 if there is none."""
    for family in (4, 6):
        routes = [each for each in links.routes(family) if each.dst.endswith("/0") and each.ifname]
        if routes:
            best = min(routes, key=lambda each: each.priority)
            link = links.get(best.ifname)
            if link is not None:
                return link.mtu
    return 0


def machine_id(host: Host) -> str:
    """What tells this machine from others (machine-id(5)); the host name where there is none."""
    text = (host.files.read(MACHINE_ID) or b"").decode(errors="replace").strip()
    return text or socket.gethostname()
