"""The contract's Links in memory: one network namespace, with as much of the kernel's behaviour as plugins lean on."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from linkspan.cni.errors import KernelRefused
from linkspan.host.contract import KernelRoute, Link, PortVlans
from linkspan.netfilter.rules import Family

MAIN, LOCAL = 254, 255
GLOBAL, ON_LINK = 0, 253
_SMALLEST, _LARGEST = 68, 65535
#: A bridge's default_pvid, which it and every port begin with.
_FIRST_VLAN = {1: True}
#: What a new link's sysctls are, where `default` was not changed.
_DEFAULTS = {
    **{
        f"ipv4/conf/default/{key}": "0" for key in ("forwarding", "route_localnet", "arp_notify", "rp_filter")
    },
    **{f"ipv6/conf/default/{key}": "0" for key in ("forwarding", "disable_ipv6", "proxy_ndp")},
    **{f"ipv6/conf/default/{key}": "1" for key in ("accept_ra", "accept_dad", "autoconf")},
}


@dataclass(slots=True, eq=False)
class _Device:
    """A link as the kernel keeps it; `peer` is a veth's other end, `master` the bridge it is a port of."""

    home: MemoryLinks
    index: int
    name: str
    kind: str
    mac: str
    mtu: int = 1500
    up: bool = False
    promisc: bool = False
    allmulti: bool = False
    txqlen: int = 1000
    hairpin: bool = False
    isolated: bool = False
    master: _Device | None = None
    peer: _Device | None = None
    below: _Device | None = None
    addresses: list[str] = field(default_factory=list)
    vlan_filtering: bool = False
    #: VLAN -> whether it is sent without a tag
    vlans: dict[int, bool] = field(default_factory=dict)


class MemoryLinks:
    """The contract's Links. `find` gives the namespace at a path; `announced` and `sysctls` are for a test to look at.

    A kernel whose bridges know no VLANs has `knows_vlans` False; `duplicates` are IPv6 addresses (CIDR) that a neighbour has too.
    """

    def __init__(self, find: Callable[[str], MemoryLinks]) -> None:
        self._find = find
        self._devices: list[_Device] = []
        self._routes: list[KernelRoute] = []
        self._numbers = 0
        self.announced: list[tuple[str, str]] = []
        self.knows_vlans = True
        self.duplicates: set[str] = set()
        self._unsettled: dict[tuple[str, str], bool] = {}
        self.sysctls = {
            **_DEFAULTS,
            **{key.replace("/default/", "/all/"): value for key, value in _DEFAULTS.items()},
            "core/somaxconn": "4096",
        }
        self.add(_Device(self, self.next_index(), "lo", "", "00:00:00:00:00:00", mtu=65536))

    # --- links --------------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Link | None:
        """See contract.Links."""
        device = self._device(name)
        return None if device is None else _seen(device)

    def by_index(self, index: int) -> Link | None:
        """See contract.Links."""
        return next((_seen(each) for each in self._devices if each.index == index), None)

    def all(self, *, kind: str = "", master: int = 0) -> tuple[Link, ...]:
        """See contract.Links."""
        links = map(_seen, self._devices)
        return tuple(
            each for each in links if kind in ("", each.kind) and (not master or each.master == master)
        )

    def create_bridge(self, name: str, *, mac: str = "", mtu: int = 0, vlan_filtering: bool = False) -> None:
        """See contract.Links."""
        request = f"create the bridge {name}"
        self.want_free(name, request)
        if vlan_filtering and not self.knows_vlans:
            raise KernelRefused(request, errno.EOPNOTSUPP)
        index = self.next_index()
        bridge = _Device(
            self, index, name, "bridge", mac or _any_mac(index), mtu=_sound_mtu(mtu or 1500, request)
        )
        bridge.vlan_filtering, bridge.vlans = vlan_filtering, dict(_FIRST_VLAN) if self.knows_vlans else {}
        self.add(bridge)

    def create_vlan(self, name: str, *, link: str, vlan: int) -> None:
        """See contract.Links."""
        request = f"create the VLAN link {name}"
        below = self._known(link)
        if not self.knows_vlans:
            raise KernelRefused(request, errno.EOPNOTSUPP)
        self.want_free(name, request)
        made = _Device(self, self.next_index(), name, "vlan", below.mac, mtu=below.mtu)
        made.below, made.vlans = below, {vlan: False}
        self.add(made)

    def create_veth(
        self, name: str, *, mac: str, peer: str, peer_mac: str, peer_netns: str, mtu: int = 0
    ) -> None:
        """See contract.Links."""
        request = f"create the veth pair {name} and {peer}"
        other_end = self._find(peer_netns)
        self.want_free(name, request)
        other_end.want_free(peer, request)
        size = _sound_mtu(mtu or 1500, request)
        outside = _Device(self, self.next_index(), name, "veth", mac, mtu=size)
        inside = _Device(other_end, other_end.next_index(), peer, "veth", peer_mac, mtu=size)
        outside.peer, inside.peer = inside, outside
        self.add(outside)
        other_end.add(inside)

    def delete(self, name: str) -> bool:
        """See contract.Links."""
        device = self._device(name)
        if device is None:
            return False
        if not device.kind:
            raise KernelRefused(f"delete the link {name}", errno.EOPNOTSUPP)
        for each in (device, *((device.peer,) if device.peer else ())):
            each.home.drop(each)
        return True

    def change(
        self,
        name: str,
        *,
        up: bool | None = None,
        mtu: int | None = None,
        mac: str | None = None,
        master: str | None = None,
        promisc: bool | None = None,
        allmulti: bool | None = None,
        txqlen: int | None = None,
    ) -> None:
        """See contract.Links."""
        request = f"change the link {name}"
        device = self._known(name)
        if mtu is not None:
            device.mtu = _sound_mtu(mtu, request)
        if mac is not None:
            if int(mac[:2], 16) & 1:
                raise KernelRefused(request, errno.EADDRNOTAVAIL)
            device.mac = mac
        if master is not None:
            self._enslave(device, master, request)
        device.promisc = device.promisc if promisc is None else promisc
        device.allmulti = device.allmulti if allmulti is None else allmulti
        device.txqlen = device.txqlen if txqlen is None else txqlen
        if up is not None and up != device.up:
            self._switch(device, up=up)

    def change_port(self, name: str, *, hairpin: bool | None = None, isolated: bool | None = None) -> None:
        """See contract.Links."""
        device = self._known(name)
        if device.master is None:
            raise KernelRefused(f"change the bridge port {name}", errno.EOPNOTSUPP)
        device.hairpin = device.hairpin if hairpin is None else hairpin
        device.isolated = device.isolated if isolated is None else isolated

    def vlans(self, name: str) -> tuple[PortVlans, ...]:
        """See contract.Links."""
        runs: list[PortVlans] = []
        for vlan, untagged in sorted(self._known(name).vlans.items()):
            if runs and (runs[-1].last, runs[-1].untagged) == (vlan - 1, untagged):
                runs[-1] = replace(runs[-1], last=vlan)
            else:
                runs.append(PortVlans(vlan, vlan, untagged))
        return tuple(runs)

    def add_vlans(self, name: str, vlans: PortVlans, *, on_bridge: bool = False) -> None:
        """See contract.Links."""
        device = self._vlan_aware(name, on_bridge=on_bridge)
        device.vlans.update(dict.fromkeys(range(vlans.first, vlans.last + 1), vlans.untagged))

    def delete_vlans(self, name: str, vlans: PortVlans) -> None:
        """See contract.Links."""
        device = self._vlan_aware(name)
        for vlan in range(vlans.first, vlans.last + 1):
            device.vlans.pop(vlan, None)

    # --- addresses ----------------------------------------------------------------------------------------------------

    def addresses(self, name: str) -> tuple[str, ...]:
        """See contract.Links."""
        return tuple(self._known(name).addresses)

    def unsettled_addresses(self, name: str) -> Mapping[str, bool]:
        """See contract.Links."""
        return {address: failed for (link, address), failed in self._unsettled.items() if link == name}

    def add_address(self, name: str, address: str, *, nodad: bool = True) -> bool:
        """See contract.Links."""
        device = self._known(name)
        interface = ipaddress.ip_interface(address)
        if interface.version == 6 and self.sysctls[f"ipv6/conf/{name}/disable_ipv6"] == "1":
            raise KernelRefused(f"add the address {address} to {name}", errno.EACCES)
        if str(interface) in device.addresses:
            return False
        device.addresses.append(str(interface))
        if not nodad and str(interface) in self.duplicates:
            self._unsettled[name, str(interface)] = True
        if device.up:
            self._connect(device, str(interface))
        return True

    def delete_address(self, name: str, address: str) -> bool:
        """See contract.Links."""
        device = self._device(name)
        text = str(ipaddress.ip_interface(address))
        if device is None or text not in device.addresses:
            return False
        device.addresses.remove(text)
        self._unsettled.pop((name, text), None)
        subnet = str(ipaddress.ip_interface(text).network)
        self._routes = [
            each for each in self._routes if (each.ifname, each.dst, each.gw) != (name, subnet, "")
        ]
        return True

    # --- routes -------------------------------------------------------------------------------------------------------

    def routes(self, family: Family, *, table: int = MAIN) -> tuple[KernelRoute, ...]:
        """See contract.Links."""
        return tuple(
            each
            for each in self._routes
            if (":" in each.dst) == (family == 6)
            and (each.table == table or (not table and each.table != LOCAL))
        )

    def add_route(
        self,
        dst: str,
        *,
        ifname: str,
        gw: str = "",
        mtu: int | None = None,
        advmss: int | None = None,
        priority: int | None = None,
        table: int | None = None,
        scope: int | None = None,
    ) -> None:
        """See contract.Links."""
        request = f"add the route to {dst} through {ifname}"
        device = self._known(ifname)
        six = ":" in dst
        if not device.up:
            raise KernelRefused(request, errno.ENETDOWN)
        if gw and not self._is_on_link(device, gw):
            raise KernelRefused(request, errno.EHOSTUNREACH if six else errno.ENETUNREACH)
        route = KernelRoute(
            dst=dst,
            gw=gw,
            ifname=ifname,
            table=table or MAIN,
            priority=priority or (1024 if six else 0),
            scope=_scope(six=six, gw=gw, asked=scope),
            mtu=mtu or 0,
            advmss=advmss or 0,
        )
        if any(_place(each) == _place(route) for each in self._routes):
            raise KernelRefused(request, errno.EEXIST)
        self._routes.append(route)

    # --- sysctls and neighbours ---------------------------------------------------------------------------------------

    def sysctl(self, key: str) -> str | None:
        """See contract.Links."""
        return self.sysctls.get("ipv4/conf/all/forwarding" if key == "ipv4/ip_forward" else key)

    def set_sysctl(self, key: str, value: str) -> bool:
        """See contract.Links."""
        if self.sysctl(key) is None:
            return False
        if key in ("ipv4/ip_forward", "ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"):
            family = key[:4]
            every = [
                each for each in self.sysctls if each.startswith(family) and each.endswith("/forwarding")
            ]
            self.sysctls.update(dict.fromkeys(every, value))
        else:
            self.sysctls[key] = value
        return True

    def announce(self, name: str) -> None:
        """See contract.Links."""
        if self._device(name) is not None:
            self.announced += [(name, each) for each in self.addresses(name)]

    # --- for the test -------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """The namespace goes away, and every pair that has an end in it."""
        for name in [each.name for each in self._devices if each.kind]:
            self.delete(name)

    def lines(self) -> Iterator[str]:
        """Links, addresses, routes and sysctls as lines without the numbers that change from run to run."""
        for each in self._devices:
            master = each.master.name if each.master else ""
            flags = f"up={each.up} promisc={each.promisc} allmulti={each.allmulti} hairpin={each.hairpin}"
            yield f"link {each.name} {each.kind} {each.mac} {each.mtu} {each.txqlen} {flags} master={master}"
            yield from (f"address {each.name} {address}" for address in each.addresses)
        yield from (f"route {each}" for each in self._routes)
        yield from (f"sysctl {key} {value}" for key, value in self.sysctls.items())

    # --- underneath ---------------------------------------------------------------------------------------------------

    def _device(self, name: str) -> _Device | None:
        return next((each for each in self._devices if each.name == name), None)

    def _known(self, name: str) -> _Device:
        device = self._device(name)
        if device is None:
            raise KernelRefused(f"find the link {name}", errno.ENODEV)
        return device

    def _vlan_aware(self, name: str, *, on_bridge: bool = False) -> _Device:
        device = self._known(name)
        if not self.knows_vlans or (device.kind == "bridge") != on_bridge or not (on_bridge or device.master):
            raise KernelRefused(f"change the VLANs of {name}", errno.EOPNOTSUPP)
        return device

    def want_free(self, name: str, request: str) -> None:
        """Refuse a name that is taken, or that the kernel takes for none."""
        if len(name.encode(errors="replace")) > 15:
            raise KernelRefused(request, errno.ERANGE)
        if name in ("", ".", "..") or any(
            each in "/:\0" or each.isspace() or "\ud800" <= each <= "\udfff" for each in name
        ):
            raise KernelRefused(request, errno.EINVAL)
        if self._device(name) is not None:
            raise KernelRefused(request, errno.EEXIST)

    def next_index(self) -> int:
        """The number of the next link, counted for each namespace."""
        self._numbers += 1
        return self._numbers

    def add(self, device: _Device) -> None:
        """A link appears, with its sysctls."""
        self._devices.append(device)
        for key, value in tuple(self.sysctls.items()):
            if "/conf/default/" in key:
                self.sysctls[key.replace("/default/", f"/{device.name}/")] = value

    def ports(self, bridge: _Device) -> list[_Device]:
        """The ports of a bridge."""
        return [each for each in self._devices if each.master is bridge]

    def drop(self, device: _Device) -> None:
        """A link goes, and what hangs on it."""
        self._devices.remove(device)
        for above in [each for each in self._devices if each.below is device]:
            self.drop(above)
        self._routes = [each for each in self._routes if each.ifname != device.name]
        for port in self.ports(device):
            port.master = None
        gone = [key for key in self.sysctls if f"/conf/{device.name}/" in key]
        for key in gone:
            del self.sysctls[key]

    def _enslave(self, device: _Device, master: str, request: str) -> None:
        bridge = self._known(master) if master else None
        if bridge is not None and bridge.kind != "bridge":
            raise KernelRefused(request, errno.EOPNOTSUPP)
        device.master, device.hairpin, device.isolated = bridge, False, False
        device.vlans = dict(_FIRST_VLAN) if bridge is not None and self.knows_vlans else {}

    def _switch(self, device: _Device, *, up: bool) -> None:
        device.up = up
        if not up:
            # The kernel drops a link's routes with it, and its IPv6 addresses (keep_addr_on_down is 0).
            self._routes = [each for each in self._routes if each.ifname != device.name]
            device.addresses = [each for each in device.addresses if ":" not in each]
            return
        if not device.kind:
            for each in ("127.0.0.1/8", "::1/128"):
                self.add_address(device.name, each)
            return
        for each in device.addresses:
            self._connect(device, each)

    def _connect(self, device: _Device, address: str) -> None:
        """The route to an address's own subnet, which the kernel makes by itself."""
        interface = ipaddress.ip_interface(address)
        if not device.kind or interface.network.num_addresses == 1:
            return
        six = interface.version == 6
        route = KernelRoute(
            dst=str(interface.network),
            gw="",
            ifname=device.name,
            table=MAIN,
            priority=256 if six else 0,
            scope=GLOBAL if six else ON_LINK,
        )
        if route not in self._routes:
            self._routes.append(route)

    def _is_on_link(self, device: _Device, gw: str) -> bool:
        ip = ipaddress.ip_address(gw)
        return ip.is_link_local or any(
            ip in ipaddress.ip_network(each.dst)
            for each in self._routes
            if each.ifname == device.name and not each.gw
        )


def _seen(device: _Device) -> Link:
    return Link(
        index=device.index,
        name=device.name,
        kind=device.kind,
        mac=device.mac,
        mtu=device.mtu,
        up=device.up,
        carrier=_has_carrier(device),
        master=device.master.index if device.master else 0,
        peer=_other_end(device),
        promiscuity=int(device.promisc) + (device.master is not None),
        hairpin=device.hairpin,
        isolated=device.isolated,
        promisc=device.promisc,
        allmulti=device.allmulti,
        txqlen=device.txqlen,
        vlan_filtering=device.vlan_filtering if device.kind == "bridge" and device.home.knows_vlans else None,
    )


def _other_end(device: _Device) -> int:
    """What the kernel calls a link's link: a veth's other end, what a VLAN is on top of."""
    other = device.peer or device.below
    return other.index if other else 0


def _has_carrier(device: _Device) -> bool:
    if device.kind == "bridge":
        return device.up and any(map(_has_carrier, device.home.ports(device)))
    if device.below is not None:
        return device.up and device.below.up
    return device.peer is not None and device.up and device.peer.up


def _sound_mtu(mtu: int, request: str) -> int:
    if not _SMALLEST <= mtu <= _LARGEST:
        raise KernelRefused(request, errno.EINVAL)
    return mtu


def _any_mac(index: int) -> str:
    return f"06:00:00:00:{index >> 8 & 255:02x}:{index & 255:02x}"


def _scope(*, six: bool, gw: str, asked: int | None) -> int:
    """IPv6 routes have no scope; without a word an IPv4 one is on the link or, behind a gateway, global."""
    if six:
        return GLOBAL
    if asked is not None:
        return asked
    return GLOBAL if gw else ON_LINK


def _place(route: KernelRoute) -> tuple[str, int, int]:
    return route.dst, route.table, route.priority
