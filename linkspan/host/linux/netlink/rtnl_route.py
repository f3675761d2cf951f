"""rtnetlink messages about addresses and routes: requests from values, values from answers. Pure.

Numbers: linux/rtnetlink.h, linux/if_addr.h.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from linkspan.cni.addresses import Family
from linkspan.host.contract import KernelRoute
from linkspan.host.linux.netlink.attributes import attribute, nest, number, packed, parse, u32
from linkspan.host.linux.netlink.client import NLM_F_CREATE, NLM_F_EXCL, Request

MAIN_TABLE, LOCAL_TABLE = 254, 255  # rt_class_t

_RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR = 20, 21, 22
_RTM_NEWROUTE, _RTM_DELROUTE, _RTM_GETROUTE = 24, 25, 26
_NEW = NLM_F_CREATE | NLM_F_EXCL
_IFADDR = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, index
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS = 1, 2, 4, 8
_IFA_F_NODAD, _IFA_F_DADFAILED, _IFA_F_TENTATIVE, _IFA_F_PERMANENT = 0x02, 0x08, 0x40, 0x80
#: struct rtmsg: family, length of destination, of source, TOS, table, protocol, scope, type, flags.
_RTMSG = struct.Struct("=BBBBBBBBI")
_RTPROT_BOOT, _RTN_UNICAST, _RT_SCOPE_LINK = 3, 1, 253
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_METRICS, _RTA_TABLE = 1, 4, 5, 6, 8, 15
_RTAX_MTU, _RTAX_ADVMSS = 2, 8
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


@dataclass(frozen=True, slots=True)
class KernelAddress:
    """An address in CIDR form on the link of an index.

    It is `tentative` until duplicate address detection has ended, and a `duplicate` if that found one.
    """

    index: int
    address: str
    tentative: bool = False
    duplicate: bool = False


# --- requests -------------------------------------------------------------------------------------


def get_addresses(index: int) -> Request:
    """Dump the addresses of a link."""
    return Request(_RTM_GETADDR, _IFADDR.pack(0, 0, 0, 0, index))


def new_address(index: int, interface: Interface, *, nodad: bool) -> Request:
    """Add an address: IPv4 with its broadcast address; IPv6 with `nodad` without duplicate detection."""
    extra = b""
    if interface.version == 4 and interface.network.prefixlen < 31:
        extra = attribute(_IFA_BROADCAST, interface.network.broadcast_address.packed)
    if interface.version == 6 and nodad:
        extra = u32(_IFA_FLAGS, _IFA_F_NODAD | _IFA_F_PERMANENT)
    return Request(_RTM_NEWADDR, _address(index, interface) + extra, _NEW)


def del_address(index: int, interface: Interface) -> Request:
    """Delete an address from a link."""
    return Request(_RTM_DELADDR, _address(index, interface))


def get_routes(family: Family, table: int, index: int = 0) -> Request:
    """Dump the unicast routes of a table, or of all tables for 0 and for a table above 255.

    With `index`, those that lead out of this link.
    """
    header = _RTMSG.pack(_FAMILY[family], 0, 0, 0, _byte(table), 0, 0, _RTN_UNICAST, 0)
    return Request(_RTM_GETROUTE, header + (u32(_RTA_OIF, index) if index else b""))


def new_route(
    dst: str,
    *,
    index: int,
    gw: str = "",
    mtu: int | None = None,
    advmss: int | None = None,
    priority: int | None = None,
    table: int | None = None,
    scope: int | None = None,
) -> Request:
    """Add a route to `dst` (CIDR) through the link of an index; see contract.Links.add_route."""
    network = ipaddress.ip_network(dst, strict=False)
    if scope is None:
        scope = _RT_SCOPE_LINK if not gw and network.version == 4 else 0
    where = _byte(MAIN_TABLE if table is None else table)
    head = (_FAMILY[network.version], network.prefixlen, 0, 0, where, _RTPROT_BOOT, scope, _RTN_UNICAST, 0)
    payload = packed(_RTMSG.format, *head)
    metrics = [u32(kind, value) for kind, value in ((_RTAX_MTU, mtu), (_RTAX_ADVMSS, advmss)) if value]
    payload += attribute(_RTA_GATEWAY, ipaddress.ip_address(gw).packed) if gw else b""
    payload += nest(_RTA_METRICS, *metrics) if metrics else b""
    payload += u32(_RTA_PRIORITY, priority) if priority else b""
    payload += u32(_RTA_TABLE, table) if table else b""
    payload += attribute(_RTA_DST, network.network_address.packed) if network.prefixlen else b""
    # Of several IPv6 routes to one destination the kernel would make a single one with several next hops.
    flags = _NEW if network.version == 6 else NLM_F_CREATE
    return Request(_RTM_NEWROUTE, payload + u32(_RTA_OIF, index), flags)


def del_route(route: KernelRoute, index: int) -> Request:
    """Delete a route through the link of an index."""
    network = ipaddress.ip_network(route.dst)
    payload = _RTMSG.pack(
        _FAMILY[network.version], network.prefixlen, 0, 0, _byte(route.table), 0, route.scope, 0, 0
    )
    payload += attribute(_RTA_GATEWAY, ipaddress.ip_address(route.gw).packed) if route.gw else b""
    payload += u32(_RTA_PRIORITY, route.priority) if route.priority else b""
    payload += u32(_RTA_TABLE, route.table)
    payload += attribute(_RTA_DST, network.network_address.packed) if network.prefixlen else b""
    return Request(_RTM_DELROUTE, payload + u32(_RTA_OIF, index))


def _address(index: int, interface: Interface) -> bytes:
    head = _IFADDR.pack(_FAMILY[interface.version], interface.network.prefixlen, 0, 0, index)
    return head + attribute(_IFA_LOCAL, interface.ip.packed) + attribute(_IFA_ADDRESS, interface.ip.packed)


def _byte(table: int) -> int:
    """A table in struct rtmsg, whose field is a byte; RTA_TABLE has the greater ones."""
    return table if table < 256 else 0


# --- answers --------------------------------------------------------------------------------------


def read_address(payload: bytes) -> KernelAddress:
    """The address that an RTM_NEWADDR describes; the local one of a point-to-point pair."""
    family, length, flags, _, index = _IFADDR.unpack_from(payload)
    found = parse(payload, _IFADDR.size)
    flags = number(found.get(_IFA_FLAGS)) or flags
    return KernelAddress(
        index,
        f"{socket.inet_ntop(family, found.get(_IFA_LOCAL) or found[_IFA_ADDRESS])}/{length}",
        tentative=bool(flags & _IFA_F_TENTATIVE),
        duplicate=bool(flags & _IFA_F_DADFAILED),
    )


def read_route(payload: bytes, name: Callable[[int], str]) -> KernelRoute | None:
    """The unicast route that an RTM_NEWROUTE describes, None for a route of another kind.

    `name` names the link of an index.
    """
    family, length, _, _, table, _, scope, kind, _ = _RTMSG.unpack_from(payload)
    if kind != _RTN_UNICAST:
        return None
    found = parse(payload, _RTMSG.size)
    metrics = parse(found.get(_RTA_METRICS, b""))
    any_address = bytes(16 if family == socket.AF_INET6 else 4)
    gateway = found.get(_RTA_GATEWAY)
    return KernelRoute(
        dst=f"{socket.inet_ntop(family, found.get(_RTA_DST, any_address))}/{length}",
        gw=socket.inet_ntop(family, gateway) if gateway else "",
        ifname=name(number(found.get(_RTA_OIF))),
        table=number(found.get(_RTA_TABLE)) or table,
        priority=number(found.get(_RTA_PRIORITY)),
        scope=scope,
        mtu=number(metrics.get(_RTAX_MTU)),
        advmss=number(metrics.get(_RTAX_ADVMSS)),
    )
