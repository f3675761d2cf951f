"""The links by which packets leave for other hosts, as against those to containers or guests on this one."""

from __future__ import annotations

from ipaddress import ip_interface
from typing import TYPE_CHECKING

from linkspan.cni.addresses import FAMILIES

if TYPE_CHECKING:
    from linkspan.host.contract import Host, Link, Links

#: Links that come and go with a connection, by the names that their programs give them; as iptables matches
#: names, with + for any ending.
DIALLED = ("ppp+", "tailscale+", "tun+", "wg+")

_BRIDGES = ("bridge", "openvswitch")
#: Links on top of another one, which is their `peer`.
_ON_TOP = ("vlan", "macvlan", "ipvlan")
#: What containers and virtual machines are connected by, and so is a host that is one of them.
_TO_GUESTS = ("veth", "tun")


def read_uplinks(host: Host) -> tuple[str, ...]:
    """The names of these links, sorted, and before them the beginnings of those that need not exist yet.

    A bridge is one of them only with a default route: then the host itself is one of its guests.
    """
    links = host.links()
    found = sorted(each.name for each in links.all(master=0) if _leads_out(links, each))
    return (*DIALLED, *(each for each in found if not _is_dialled(each)))


def _is_dialled(name: str) -> bool:
    return name.startswith(tuple(each.rstrip("+") for each in DIALLED))


def _leads_out(links: Links, link: Link) -> bool:
    below = _lowest(links, link)
    if below.kind in _BRIDGES:
        return any(_has_default_route(links, each) for each in dict.fromkeys((link.name, below.name)))
    if link.kind in _TO_GUESTS:
        # A single guest is reached by a route to its address: the host has no address in a subnet there.
        addresses = [ip_interface(each) for each in links.addresses(link.name)]
        return any(each.network.num_addresses > 1 for each in addresses) or (
            bool(addresses) and _has_default_route(links, link.name)
        )
    return link.name != "lo"


def _lowest(links: Links, link: Link) -> Link:
    """The link under one that is on top of another, such as a bridge's own link in a VLAN; else itself."""
    below = links.by_index(link.peer) if link.kind in _ON_TOP else None
    return link if below is None else _lowest(links, below)


def _has_default_route(links: Links, name: str) -> bool:
    return any(each.is_default for family in FAMILIES for each in links.routes(family, table=0, ifname=name))
