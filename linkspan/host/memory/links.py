"""The contract's Links in memory: a namespace that behaves like the kernel as far as plugins rely on it."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Callable, Iterator, Mapping

from linkspan.cni.addresses import Family
from linkspan.cni.errors import KernelRefused
from linkspan.host.contract import KernelRoute, Link, PolicyRule, PortVlans
from linkspan.host.memory.device import (
    DEFAULT_VLANS,
    Device,
    check_name,
    checked_mtu,
    generated_mac,
    vlan_ranges,
)
from linkspan.host.memory.routes import MAIN_TABLE, Routes, Rules
from linkspan.host.memory.sysctls import Sysctls


class MemoryLinks:
    """One network namespace; `find` gives the one at a path.

    For tests: `sysctls` and `announced` are there to be read; `knows_vlans` is False on a kernel whose
    bridges know no VLANs; `duplicates` are IPv6 addresses (CIDR) that a neighbour has too.
    """

    def __init__(self, find: Callable[[str], MemoryLinks]) -> None:
        self._find = find
        self._devices: list[Device] = []
        self._routes, self.policy = Routes(), Rules()
        self._last_index = 0
        self._unsettled: dict[tuple[str, str], bool] = {}
        self.sysctls = Sysctls()
        self.announced: list[tuple[str, str]] = []
        self.knows_vlans = True
        self.duplicates: set[str] = set()
        self.add(Device(self, self.next_index(), "lo", "", "00:00:00:00:00:00", mtu=65536))

    # --- links ------------------------------------------------------------------------------------

    def get(self, name: str) -> Link | None:
        """See contract.Links."""
        device = self._device(name)
        return None if device is None else device.as_link()

    def by_index(self, index: int) -> Link | None:
        """See contract.Links."""
        return next((each.as_link() for each in self._devices if each.index == index), None)

    def all(self, *, kind: str = "", master: int | None = None) -> tuple[Link, ...]:
        """See contract.Links."""
        links = (each.as_link() for each in self._devices)
        return tuple(each for each in links if kind in ("", each.kind) and master in (None, each.master))

    def create_bridge(self, name: str, *, mac: str = "", mtu: int = 0, vlan_filtering: bool = False) -> None:
        """See contract.Links."""
        request = f"create the bridge {name}"
        self.check_free(name, request)
        if vlan_filtering and not self.knows_vlans:
            raise KernelRefused(request, errno.EOPNOTSUPP)
        size, index = checked_mtu(mtu or 1500, request), self.next_index()
        bridge = Device(self, index, name, "bridge", mac or generated_mac(index), mtu=size)
        bridge.vlan_filtering, bridge.vlans = vlan_filtering, self.default_vlans()
        self.add(bridge)

    def create_vlan(self, name: str, *, link: str, vlan: int) -> None:
        """See contract.Links."""
        request = f"create the link {name} for VLAN {vlan}"
        below = self._known(link)
        if not self.knows_vlans:
            raise KernelRefused(request, errno.EOPNOTSUPP)
        self.check_free(name, request)
        made = Device(self, self.next_index(), name, "vlan", below.mac, mtu=below.mtu)
        made.below, made.vlans = below, {vlan: False}
        self.add(made)

    def create_veth(
        self, name: str, *, mac: str, peer: str, peer_mac: str, peer_netns: str, mtu: int = 0
    ) -> None:
        """See contract.Links."""
        request = f"create the veth pair {name} and {peer}"
        container = self._find(peer_netns)
        self.check_free(name, request)
        container.check_free(peer, request)
        size = checked_mtu(mtu or 1500, request)
        outside = Device(self, self.next_index(), name, "veth", mac, mtu=size)
        inside = Device(container, container.next_index(), peer, "veth", peer_mac, mtu=size)
        outside.peer, inside.peer = inside, outside
        self.add(outside)
        container.add(inside)

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
            device.mtu = checked_mtu(mtu, request)
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
        return vlan_ranges(self._known(name).vlans)

    def add_vlans(self, name: str, vlans: PortVlans, *, on_bridge: bool = False) -> None:
        """See contract.Links."""
        device = self._vlan_aware(name, on_bridge=on_bridge)
        device.vlans.update(dict.fromkeys(range(vlans.first, vlans.last + 1), vlans.untagged))

    def delete_vlans(self, name: str, vlans: PortVlans) -> None:
        """See contract.Links."""
        device = self._vlan_aware(name)
        for vlan in range(vlans.first, vlans.last + 1):
            device.vlans.pop(vlan, None)

    # --- addresses and routes ---------------------------------------------------------------------

    def addresses(self, name: str, *, link_local: bool = False) -> tuple[str, ...]:
        """See contract.Links."""
        return tuple(
            each for each in self._known(name).addresses if link_local or not each.startswith("fe80:")
        )

    def unsettled_addresses(self, name: str) -> Mapping[str, bool]:
        """See contract.Links."""
        return {address: failed for (link, address), failed in self._unsettled.items() if link == name}

    def add_address(self, name: str, address: str, *, nodad: bool = True) -> bool:
        """See contract.Links."""
        device = self._known(name)
        text = str(ipaddress.ip_interface(address))
        disabled = self.sysctls.get(f"ipv6/conf/{name}/disable_ipv6")  # None on a kernel without IPv6
        if ":" in text and disabled != "0":
            number = errno.EOPNOTSUPP if disabled is None else errno.EACCES
            raise KernelRefused(f"add the address {address} to {name}", number)
        if text in device.addresses:
            return False
        device.addresses.append(text)
        if not nodad and text in self.duplicates:
            self._unsettled[name, text] = True
        if device.up and device.kind:
            self._routes.connect(name, text)
        return True

    def delete_address(self, name: str, address: str) -> bool:
        """See contract.Links."""
        device = self._device(name)
        text = str(ipaddress.ip_interface(address))
        if device is None or text not in device.addresses:
            return False
        device.addresses.remove(text)
        self._unsettled.pop((name, text), None)
        self._routes.disconnect(name, text)
        return True

    def routes(self, family: Family, *, table: int = MAIN_TABLE, ifname: str = "") -> tuple[KernelRoute, ...]:
        """See contract.Links."""
        return tuple(each for each in self._routes.of(family, table) if ifname in ("", each.ifname))

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
        if not self._known(ifname).up:
            raise KernelRefused(request, errno.ENETDOWN)
        self._routes.add(
            dst,
            ifname=ifname,
            gw=gw,
            mtu=mtu,
            advmss=advmss,
            priority=priority,
            table=table,
            scope=scope,
            request=request,
        )

    def delete_route(self, route: KernelRoute) -> bool:
        """See contract.Links."""
        return self._routes.delete(route)

    def rules(self, family: Family) -> tuple[PolicyRule, ...] | None:
        """See contract.Links."""
        return self.policy.of(family)

    def add_rule(self, rule: PolicyRule) -> None:
        """See contract.Links."""
        self.policy.add(rule)

    def delete_rule(self, rule: PolicyRule) -> bool:
        """See contract.Links."""
        return self.policy.delete(rule)

    # --- sysctls and neighbours -------------------------------------------------------------------

    def sysctl(self, key: str) -> str | None:
        """See contract.Links."""
        return self.sysctls.read(key)

    def set_sysctl(self, key: str, value: str) -> bool:
        """See contract.Links."""
        return self.sysctls.write(key, value)

    def announce(self, name: str) -> None:
        """See contract.Links."""
        if self._device(name) is not None:
            self.announced += [(name, each) for each in self.addresses(name)]

    # --- for tests and for other namespaces -------------------------------------------------------

    def end(self) -> None:
        """The namespace ends, and with it every pair that has an end in it."""
        for name in [each.name for each in self._devices if each.kind]:
            self.delete(name)

    def lines(self) -> Iterator[str]:
        """Links, addresses, routes and sysctls as lines, without the numbers that change from run to run."""
        for each in self._devices:
            master = each.master.name if each.master else ""
            flags = f"up={each.up} promisc={each.promisc} allmulti={each.allmulti} hairpin={each.hairpin}"
            yield f"link {each.name} {each.kind} {each.mac} {each.mtu} {each.txqlen} {flags} master={master}"
            yield from (f"address {each.name} {address}" for address in each.addresses)
        yield from (f"route {each}" for each in self._routes)
        yield from (f"rule {each}" for each in self.policy)
        yield from (f"sysctl {key} {value}" for key, value in self.sysctls.items())

    def check_free(self, name: str, request: str) -> None:
        """Refuse a name for a new link that is taken or that the kernel does not accept."""
        check_name(name, (each.name for each in self._devices), request)

    def next_index(self) -> int:
        """The index of the next link, counted for each namespace."""
        self._last_index += 1
        return self._last_index

    def default_vlans(self) -> dict[int, bool]:
        """The VLANs of a new bridge or port, none on a kernel whose bridges know none."""
        return dict(DEFAULT_VLANS) if self.knows_vlans else {}

    def add(self, device: Device) -> None:
        """A link appears, with its sysctls."""
        self._devices.append(device)
        self.sysctls.add_link(device.name)

    def ports(self, bridge: Device) -> list[Device]:
        """The ports of a bridge."""
        return [each for each in self._devices if each.master is bridge]

    def drop(self, device: Device) -> None:
        """A link disappears, with the links on top of it, its routes and sysctls; ports of a bridge stay."""
        self._devices.remove(device)
        for above in [each for each in self._devices if each.below is device]:
            self.drop(above)
        for port in self.ports(device):
            port.enslave(None)
        self._routes.drop_link(device.name)
        self._unsettled = {key: failed for key, failed in self._unsettled.items() if key[0] != device.name}
        self.sysctls.drop_link(device.name)

    # --- underneath -------------------------------------------------------------------------------

    def _device(self, name: str) -> Device | None:
        return next((each for each in self._devices if each.name == name), None)

    def _known(self, name: str) -> Device:
        device = self._device(name)
        if device is None:
            raise KernelRefused(f"find the link {name}", errno.ENODEV)
        return device

    def _vlan_aware(self, name: str, *, on_bridge: bool = False) -> Device:
        device = self._known(name)
        if not self.knows_vlans or (device.kind == "bridge") != on_bridge or not (on_bridge or device.master):
            raise KernelRefused(f"change the VLANs of {name}", errno.EOPNOTSUPP)
        return device

    def _enslave(self, device: Device, master: str, request: str) -> None:
        bridge = self._known(master) if master else None
        if bridge is not None and bridge.kind != "bridge":
            raise KernelRefused(request, errno.EOPNOTSUPP)
        device.enslave(bridge)

    def _switch(self, device: Device, *, up: bool) -> None:
        """Up, a link gets the routes to its subnets; down, it loses all routes and, as keep_addr_on_down is
        0, IPv6 addresses.
        """
        device.up = up
        if not up:
            self._routes.drop_link(device.name)
            device.addresses = [each for each in device.addresses if ":" not in each]
        elif not device.kind:
            for each in ("127.0.0.1/8", "::1/128"):
                self.add_address(device.name, each)
        else:
            for each in device.addresses:
                self._routes.connect(device.name, each)
