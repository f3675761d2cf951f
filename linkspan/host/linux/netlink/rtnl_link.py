"""rtnetlink messages about links: requests from values, values from answers. Pure.

Numbers: linux/rtnetlink.h, linux/if_link.h, linux/if_bridge.h.

Answers are read by attribute number: of the seventy attributes of a link we need fourteen, and a call reads
several links.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping

from linkspan.host.contract import Link, PortVlans
from linkspan.host.linux.netlink.attributes import (
    Attributes,
    attribute,
    nest,
    number,
    packed,
    pairs,
    parse,
    string,
    text,
    u8,
    u16,
    u32,
)
from linkspan.host.linux.netlink.client import NLM_F_CREATE, NLM_F_EXCL, Request

_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK, _RTM_SETLINK = 16, 17, 18, 19
_NEW = NLM_F_CREATE | NLM_F_EXCL
_IFINFO = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, mask of flags to change
_IFF_UP, _IFF_PROMISC, _IFF_ALLMULTI, _IFF_LOWER_UP = 0x1, 0x100, 0x200, 0x10000  # linux/if.h
_NO_MASTER = 0xFFFFFFFF
_IF_OPER_UP = 6
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER = 1, 3, 4, 5, 10
_IFLA_TXQLEN, _IFLA_OPERSTATE, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 13, 16, 18, 28
_IFLA_AF_SPEC, _IFLA_EXT_MASK, _IFLA_PROMISCUITY = 26, 29, 30
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_INFO_SLAVE_KIND, _IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
_IFLA_VLAN_ID, _VETH_INFO_PEER = 1, 1
_IFLA_BR_VLAN_FILTERING, _IFLA_BR_VLAN_DEFAULT_PVID = 7, 39
_IFLA_BRPORT_MODE, _IFLA_BRPORT_ISOLATED = 4, 33
_IFLA_BRIDGE_FLAGS, _IFLA_BRIDGE_VLAN_INFO = 0, 2
_BRIDGE_FLAGS_SELF = 2
_VLAN_INFO = struct.Struct("=HH")  # struct bridge_vlan_info
_VLAN_PVID, _VLAN_UNTAGGED, _VLAN_BEGIN, _VLAN_END = 0x2, 0x4, 0x8, 0x10
_RTEXT_FILTER_BRVLAN_COMPRESSED, _RTEXT_FILTER_SKIP_STATS = 1 << 2, 1 << 3


# --- requests -------------------------------------------------------------------------------------


def get_link(index: int) -> Request:
    """Ask for one link, without its counters."""
    return Request(_RTM_GETLINK, _ifinfo(index) + u32(_IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS))


def get_links(master: int | None = None) -> Request:
    """Dump all links, without their counters; or those of one master, 0 for those without.

    A kernel before 5.15 knows no links without a master, and dumps none.
    """
    everything = get_link(0)
    if master is None:
        return everything
    return Request(everything.kind, everything.payload + u32(_IFLA_MASTER, master or _NO_MASTER))


def get_port_vlans() -> Request:
    """Dump the VLANs of all bridges and bridge ports."""
    mask = u32(_IFLA_EXT_MASK, _RTEXT_FILTER_BRVLAN_COMPRESSED)
    return Request(_RTM_GETLINK, _ifinfo(0, family=socket.AF_BRIDGE) + mask)


def new_bridge(name: str, *, mac: str = "", mtu: int = 0, vlan_filtering: bool = False) -> Request:
    """Create a bridge; "" and 0 leave the choice to the kernel."""
    options = [nest(_IFLA_INFO_DATA, u8(_IFLA_BR_VLAN_FILTERING, 1))] if vlan_filtering else []
    return _new_link(_named(name, mac, mtu), _kind("bridge", *options))


def new_vlan(name: str, *, link: int, vlan: int) -> Request:
    """Create an 802.1Q link on top of the link of an index."""
    options = nest(_IFLA_INFO_DATA, u16(_IFLA_VLAN_ID, vlan))
    return _new_link(text(_IFLA_IFNAME, name), u32(_IFLA_LINK, link), _kind("vlan", options))


def new_veth(name: str, *, mac: str, peer: str, peer_mac: str, peer_netns: int, mtu: int = 0) -> Request:
    """Create a veth pair whose `peer` is in the namespace that descriptor `peer_netns` refers to."""
    other = _ifinfo(0) + _named(peer, peer_mac, mtu) + u32(_IFLA_NET_NS_FD, peer_netns)
    options = nest(_IFLA_INFO_DATA, attribute(_VETH_INFO_PEER, other))
    return _new_link(_named(name, mac, mtu), _kind("veth", options))


def del_link(index: int) -> Request:
    """Delete a link."""
    return Request(_RTM_DELLINK, _ifinfo(index))


def set_link(
    index: int,
    *,
    up: bool | None = None,
    promisc: bool | None = None,
    allmulti: bool | None = None,
    mtu: int | None = None,
    mac: str | None = None,
    master: int | None = None,
    txqlen: int | None = None,
) -> Request:
    """Change of a link what is not None; `master` is an index, 0 for none."""
    given = ((_IFF_UP, up), (_IFF_PROMISC, promisc), (_IFF_ALLMULTI, allmulti))
    flags = sum(flag for flag, value in given if value)
    mask = sum(flag for flag, value in given if value is not None)
    payload = _IFINFO.pack(0, 0, index, flags, mask)
    payload += b"" if mtu is None else u32(_IFLA_MTU, mtu)
    payload += b"" if mac is None else attribute(_IFLA_ADDRESS, _packed(mac))
    payload += b"" if master is None else u32(_IFLA_MASTER, master)
    payload += b"" if txqlen is None else u32(_IFLA_TXQLEN, txqlen)
    return Request(_RTM_SETLINK, payload)


def set_port(index: int, *, hairpin: bool | None = None, isolated: bool | None = None) -> Request:
    """Change of a bridge port what is not None."""
    flags: Mapping[int, bool | None] = {_IFLA_BRPORT_MODE: hairpin, _IFLA_BRPORT_ISOLATED: isolated}
    data = [u8(kind, value) for kind, value in flags.items() if value is not None]
    info = text(_IFLA_INFO_SLAVE_KIND, "bridge") + nest(_IFLA_INFO_SLAVE_DATA, *data)
    return Request(_RTM_NEWLINK, _ifinfo(index) + nest(_IFLA_LINKINFO, info))


def add_port_vlans(index: int, vlans: PortVlans, *, on_bridge: bool = False) -> Request:
    """Add VLANs to a bridge port, or to a bridge itself."""
    return Request(_RTM_SETLINK, _port_vlans(index, vlans, on_bridge=on_bridge))


def del_port_vlans(index: int, vlans: PortVlans) -> Request:
    """Delete VLANs from a bridge port."""
    return Request(_RTM_DELLINK, _port_vlans(index, vlans))


def _port_vlans(index: int, vlans: PortVlans, *, on_bridge: bool = False) -> bytes:
    flags = _VLAN_UNTAGGED if vlans.untagged else 0
    if vlans.first == vlans.last:
        infos = [(flags | (_VLAN_PVID if vlans.untagged else 0), vlans.first)]
    else:
        infos = [(flags | _VLAN_BEGIN, vlans.first), (flags | _VLAN_END, vlans.last)]
    spec = [attribute(_IFLA_BRIDGE_VLAN_INFO, packed(_VLAN_INFO.format, *each)) for each in infos]
    where = [u16(_IFLA_BRIDGE_FLAGS, _BRIDGE_FLAGS_SELF)] if on_bridge else []
    return _ifinfo(index, family=socket.AF_BRIDGE) + nest(_IFLA_AF_SPEC, *where, *spec)


def _new_link(*attributes: bytes) -> Request:
    return Request(_RTM_NEWLINK, _ifinfo(0) + b"".join(attributes), _NEW)


def _ifinfo(index: int, *, family: int = 0) -> bytes:
    return _IFINFO.pack(family, 0, index, 0, 0)


def _named(name: str, mac: str, mtu: int) -> bytes:
    address = attribute(_IFLA_ADDRESS, _packed(mac)) if mac else b""
    return text(_IFLA_IFNAME, name) + address + (u32(_IFLA_MTU, mtu) if mtu else b"")


def _kind(name: str, *options: bytes) -> bytes:
    return nest(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, name), *options)


def _packed(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


# --- answers --------------------------------------------------------------------------------------


def read_link(payload: bytes) -> Link:
    """The link that an RTM_NEWLINK describes."""
    _, _, index, flags, _ = _IFINFO.unpack_from(payload)
    found = parse(payload, _IFINFO.size)
    info = parse(found.get(_IFLA_LINKINFO, b""))
    is_port = string(info.get(_IFLA_INFO_SLAVE_KIND)) == "bridge"
    port = parse(info.get(_IFLA_INFO_SLAVE_DATA, b"")) if is_port else {}
    return Link(
        index=index,
        name=string(found.get(_IFLA_IFNAME)),
        kind=string(info.get(_IFLA_INFO_KIND)),
        mac=found.get(_IFLA_ADDRESS, b"").hex(":"),
        mtu=number(found.get(_IFLA_MTU)),
        up=bool(flags & _IFF_UP),
        carrier=number(found.get(_IFLA_OPERSTATE)) == _IF_OPER_UP,
        lower_up=bool(flags & _IFF_LOWER_UP),
        master=number(found.get(_IFLA_MASTER)),
        peer=number(found.get(_IFLA_LINK)),
        promiscuity=number(found.get(_IFLA_PROMISCUITY)),
        hairpin=bool(number(port.get(_IFLA_BRPORT_MODE))),
        isolated=bool(number(port.get(_IFLA_BRPORT_ISOLATED))),
        promisc=bool(flags & _IFF_PROMISC),
        allmulti=bool(flags & _IFF_ALLMULTI),
        txqlen=number(found.get(_IFLA_TXQLEN)),
        vlan_filtering=_vlan_filtering(info),
    )


def _vlan_filtering(info: Attributes) -> bool | None:
    if string(info.get(_IFLA_INFO_KIND)) != "bridge":
        return None
    bridge = parse(info.get(_IFLA_INFO_DATA, b""))
    # Every kernel reports filtering as off; only one that can filter has a default PVID
    # (net/bridge/br_netlink.c).
    return bool(number(bridge.get(_IFLA_BR_VLAN_FILTERING))) if _IFLA_BR_VLAN_DEFAULT_PVID in bridge else None


def read_port_vlans(payload: bytes) -> tuple[int, tuple[PortVlans, ...]]:
    """(index, VLANs) of a bridge or bridge port, from an RTM_NEWLINK of the family AF_BRIDGE."""
    index = _IFINFO.unpack_from(payload)[2]
    spec = parse(payload, _IFINFO.size).get(_IFLA_AF_SPEC, b"")
    found: list[PortVlans] = []
    first = 0
    for kind, info in pairs(spec):
        if kind != _IFLA_BRIDGE_VLAN_INFO:
            continue
        flags, vlan = _VLAN_INFO.unpack(info)
        if flags & _VLAN_BEGIN:
            first = vlan
        else:
            first = first if flags & _VLAN_END else vlan
            found.append(PortVlans(first, vlan, untagged=bool(flags & _VLAN_UNTAGGED)))
    return index, tuple(found)
