"""The kernel's messages about links, addresses and routes as values (linux/rtnetlink.h, linux/if_link.h). Pure.

They are read by attribute numbers: of the seventy attributes of a link we want fourteen, and a message is read several times in a call.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from linkspan.host.contract import KernelRoute, Link, PortVlans

IFF_UP, IFF_PROMISC, IFF_ALLMULTI = 0x1, 0x100, 0x200  # linux/if.h
IF_OPER_UP = 6
RTN_UNICAST = 1

_IFINFO, _IFADDR, _RTMSG, _ATTRIBUTE = (
    struct.Struct("=BxHiII"),
    struct.Struct("=BBBBI"),
    struct.Struct("=BBBBBBBBI"),
    struct.Struct("=HH"),
)
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER = 1, 3, 4, 5, 10
_IFLA_TXQLEN, _IFLA_OPERSTATE, _IFLA_LINKINFO, _IFLA_PROMISCUITY = 13, 16, 18, 30
_IFLA_INFO_KIND, _IFLA_INFO_SLAVE_KIND, _IFLA_INFO_SLAVE_DATA = 1, 4, 5
_IFLA_INFO_DATA, _IFLA_BR_VLAN_FILTERING, _IFLA_BR_VLAN_DEFAULT_PVID = 2, 7, 39
_IFLA_AF_SPEC, _IFLA_BRIDGE_FLAGS, _IFLA_BRIDGE_VLAN_INFO = 26, 0, 2  # linux/if_bridge.h
_BRIDGE_FLAGS_SELF = 2
_VLAN_PVID, _VLAN_UNTAGGED, _VLAN_BEGIN, _VLAN_END = 0x2, 0x4, 0x8, 0x10
_IFLA_BRPORT_MODE, _IFLA_BRPORT_ISOLATED = 4, 33
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_IFA_F_DADFAILED, _IFA_F_TENTATIVE = 0x08, 0x40  # linux/if_addr.h
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_METRICS, _RTA_TABLE = 1, 4, 5, 6, 8, 15
_RTAX_MTU, _RTAX_ADVMSS = 2, 8

Attributes = dict[int, bytes]


def attributes(data: bytes, at: int = 0) -> Attributes:
    """The attributes of a message, or of a nested attribute, from offset `at`: number -> payload."""
    return dict(pairs(data, at))


def pairs(data: bytes, at: int = 0) -> Iterator[tuple[int, bytes]]:
    """The same one by one, for nested attributes of which there are several of a kind."""
    while at + 4 <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        yield kind & _TYPE_MASK, data[at + 4 : at + size]
        at += max(4, (size + 3) & ~3)


def read_link(data: bytes) -> Link:
    """The link that an RTM_NEWLINK's payload (struct ifinfomsg and attributes) tells of."""
    _, _, index, flags, _ = _IFINFO.unpack_from(data)
    told = attributes(data, _IFINFO.size)
    info = attributes(told.get(_IFLA_LINKINFO, b""))
    is_port = _text(info.get(_IFLA_INFO_SLAVE_KIND)) == "bridge"
    port = attributes(info.get(_IFLA_INFO_SLAVE_DATA, b"")) if is_port else {}
    return Link(
        index=index,
        name=_text(told.get(_IFLA_IFNAME)),
        kind=_text(info.get(_IFLA_INFO_KIND)),
        mac=told.get(_IFLA_ADDRESS, b"").hex(":"),
        mtu=_number(told.get(_IFLA_MTU)),
        up=bool(flags & IFF_UP),
        carrier=_number(told.get(_IFLA_OPERSTATE)) == IF_OPER_UP,
        master=_number(told.get(_IFLA_MASTER)),
        peer=_number(told.get(_IFLA_LINK)),
        promiscuity=_number(told.get(_IFLA_PROMISCUITY)),
        hairpin=bool(_number(port.get(_IFLA_BRPORT_MODE))),
        isolated=bool(_number(port.get(_IFLA_BRPORT_ISOLATED))),
        promisc=bool(flags & IFF_PROMISC),
        allmulti=bool(flags & IFF_ALLMULTI),
        txqlen=_number(told.get(_IFLA_TXQLEN)),
        vlan_filtering=_vlan_filtering(info),
    )


def _vlan_filtering(info: Attributes) -> bool | None:
    if _text(info.get(_IFLA_INFO_KIND)) != "bridge":
        return None
    told = attributes(info.get(_IFLA_INFO_DATA, b""))
    # Every kernel tells that filtering is off; only one that can do it knows a default VLAN (net/bridge/br_netlink.c).
    return bool(_number(told.get(_IFLA_BR_VLAN_FILTERING))) if _IFLA_BR_VLAN_DEFAULT_PVID in told else None


def read_port_vlans(data: bytes) -> tuple[int, tuple[PortVlans, ...]]:
    """(index, VLANs) of a bridge port from an RTM_NEWLINK of the family AF_BRIDGE (struct bridge_vlan_info)."""
    index = _IFINFO.unpack_from(data)[2]
    spec = attributes(data, _IFINFO.size).get(_IFLA_AF_SPEC, b"")
    found: list[PortVlans] = []
    begun = 0
    for kind, payload in pairs(spec):
        if kind != _IFLA_BRIDGE_VLAN_INFO:
            continue
        flags, vlan = _ATTRIBUTE.unpack(payload)
        if flags & _VLAN_BEGIN:
            begun = vlan
        else:
            first = begun if flags & _VLAN_END else vlan
            found.append(PortVlans(first, vlan, untagged=bool(flags & _VLAN_UNTAGGED)))
    return index, tuple(found)


def port_vlans(index: int, vlans: PortVlans, *, on_bridge: bool = False) -> bytes:
    """The payload of an RTM_SETLINK or RTM_DELLINK that gives VLANs to a bridge port or takes them."""
    flags = _VLAN_UNTAGGED if vlans.untagged else 0
    if vlans.first == vlans.last:
        infos = [(flags | (_VLAN_PVID if vlans.untagged else 0), vlans.first)]
    else:
        infos = [(flags | _VLAN_BEGIN, vlans.first), (flags | _VLAN_END, vlans.last)]
    spec = b"".join(_attribute(_IFLA_BRIDGE_VLAN_INFO, _ATTRIBUTE.pack(*each)) for each in infos)
    if on_bridge:
        spec = _attribute(_IFLA_BRIDGE_FLAGS, struct.pack("=H", _BRIDGE_FLAGS_SELF)) + spec
    return _IFINFO.pack(socket.AF_BRIDGE, 0, index, 0, 0) + _attribute(_IFLA_AF_SPEC, spec)


def _attribute(kind: int, payload: bytes) -> bytes:
    return _ATTRIBUTE.pack(4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


@dataclass(frozen=True, slots=True)
class KernelAddress:
    """An address in CIDR form on the link of an index; `tentative` until the search for duplicates ends, `duplicate` if it found one."""

    index: int
    address: str
    tentative: bool = False
    duplicate: bool = False


def read_address(data: bytes) -> KernelAddress:
    """What an RTM_NEWADDR's payload (struct ifaddrmsg and attributes) tells of; of a point-to-point pair the local end."""
    family, length, flags, _, index = _IFADDR.unpack_from(data)
    told = attributes(data, _IFADDR.size)
    flags = _number(told.get(_IFA_FLAGS)) or flags
    return KernelAddress(
        index,
        f"{_ip(family, told.get(_IFA_LOCAL) or told[_IFA_ADDRESS])}/{length}",
        tentative=bool(flags & _IFA_F_TENTATIVE),
        duplicate=bool(flags & _IFA_F_DADFAILED),
    )


def read_route(data: bytes, name: Callable[[int], str]) -> KernelRoute | None:
    """The unicast route that an RTM_NEWROUTE's payload (struct rtmsg and attributes) tells of, None for another kind.

    `name` gives the name of the link of an index.
    """
    family, length, _, _, table, _, scope, kind, _ = _RTMSG.unpack_from(data)
    if kind != RTN_UNICAST:
        return None
    told = attributes(data, _RTMSG.size)
    metrics = attributes(told.get(_RTA_METRICS, b""))
    anywhere = bytes(16 if family == socket.AF_INET6 else 4)
    gateway = told.get(_RTA_GATEWAY)
    return KernelRoute(
        dst=f"{_ip(family, told.get(_RTA_DST, anywhere))}/{length}",
        gw=_ip(family, gateway) if gateway else "",
        ifname=name(_number(told.get(_RTA_OIF))),
        table=_number(told.get(_RTA_TABLE)) or table,
        priority=_number(told.get(_RTA_PRIORITY)),
        scope=scope,
        mtu=_number(metrics.get(_RTAX_MTU)),
        advmss=_number(metrics.get(_RTAX_ADVMSS)),
    )


def _number(payload: bytes | None) -> int:
    """A number in the machine's order; 0 where there is none."""
    return int.from_bytes(payload, sys.byteorder) if payload else 0


def _text(payload: bytes | None) -> str:
    return payload.rstrip(b"\0").decode(errors="surrogateescape") if payload else ""


def _ip(family: int, packed: bytes) -> str:
    return socket.inet_ntop(family, packed)
