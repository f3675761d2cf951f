"""What a new network depends on: addresses, routes and name servers of the host, its MTU, its identity."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_interface, ip_network
from typing import TYPE_CHECKING

from linkspan.steps.occupied import Used, used_by_host

if TYPE_CHECKING:
    from linkspan.host.contract import Host, Links

RESOLV_CONF, MACHINE_ID = "/etc/resolv.conf", "/etc/machine-id"
#: The MTU of a link that is not told otherwise.
ETHERNET_MTU = 1500


def used(host: Host, *, except_link: str = "") -> Iterator[Used]:
    """The host's connected networks, next hops, routes and name servers, without those of one link.

    Raises KernelRefused, IoFailure.
    """
    yield from used_by_host(host, except_links=[except_link])
    for server in _name_servers(host):
        yield Used(ip_network(server), "name server in /etc/resolv.conf")


def _name_servers(host: Host) -> Iterator[str]:
    for line in (host.files.read(RESOLV_CONF) or b"").decode(errors="replace").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            with suppress(ValueError):
                yield str(ip_interface(words[1].partition("%")[0]).ip)


def default_mtu(links: Links) -> int:
    """The MTU of the link of the preferred default route, IPv4's before IPv6's; 0 if there is none."""
    for family in (4, 6):
        routes = [each for each in links.routes(family) if each.is_default and each.ifname]
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
