"""Links, addresses, routes and network sysctls of one namespace.

A netlink socket belongs to the namespace it was opened in, so a container's socket is opened while inside and used from outside.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import cache, cached_property
from typing import Any

from linkspan.cni.errors import KernelRefused
from linkspan.host.contract import KernelRoute, Link, PortVlans
from linkspan.host.linux.namespaces import inside
from linkspan.host.linux.netlink.client import CREATE, NEW, NLM_F_DUMP, Netlink, Refused, message_class
from linkspan.host.linux.netlink.route import (
    IFF_ALLMULTI,
    IFF_PROMISC,
    IFF_UP,
    RTN_UNICAST,
    KernelAddress,
    port_vlans,
    read_address,
    read_link,
    read_port_vlans,
    read_route,
)
from linkspan.netfilter.rules import Family
from linkspan.paths import OWN_NETNS

# linux/rtnetlink.h
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
RTPROT_BOOT = 3
RTEXT_FILTER_BRVLAN_COMPRESSED, RTEXT_FILTER_SKIP_STATS = 1 << 2, 1 << 3
# linux/if_addr.h
IFA_F_NODAD, IFA_F_PERMANENT = 0x02, 0x80
SCOPE_LINK = 253
MAIN_TABLE, LOCAL_TABLE = 254, 255
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_NO_COUNTERS = {"IFLA_EXT_MASK": RTEXT_FILTER_SKIP_STATS}


class LinuxLinks:
    """The contract's Links for one namespace. `netns` is an open descriptor, or None for the namespace we run in."""

    def __init__(self, netns: int | None, open_peer: Callable[[str], int]) -> None:
        self._netns = netns
        self.open_peer = open_peer
        self._socket: Netlink | None = None

    def close(self) -> None:
        """Give back the netlink socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # --- links ------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Link | None:
        """See contract.Links."""
        with self._asking(f"look at the link {name}", absent=(errno.ENODEV, errno.EINVAL, errno.ERANGE)):
            index = self._netlink.index(name)
            return None if index is None else self._link(index)
        return None

    def by_index(self, index: int) -> Link | None:
        """See contract.Links."""
        with self._asking(f"look at link {index}", absent=(errno.ENODEV,)):
            return self._link(index)
        return None

    def all(self, *, kind: str = "", master: int = 0) -> tuple[Link, ...]:
        """See contract.Links."""
        with self._asking("list links"):
            found = self._netlink.ask(RTM_GETLINK, NLM_F_DUMP, self._ifinfmsg, {}, _NO_COUNTERS)
        links = (read_link(each) for each in found)
        return tuple(
            each
            for each in links
            if (not kind or each.kind == kind) and (not master or each.master == master)
        )

    def create_bridge(self, name: str, *, mac: str = "", mtu: int = 0, vlan_filtering: bool = False) -> None:
        """See contract.Links."""
        wanted = _given(IFLA_IFNAME=name, IFLA_ADDRESS=mac, IFLA_MTU=mtu)
        info: dict[str, Any] = {"IFLA_INFO_KIND": "bridge"}
        if vlan_filtering:
            info["IFLA_INFO_DATA"] = {"IFLA_BR_VLAN_FILTERING": 1}
        with self._asking(f"create the bridge {name}"):
            self._ask_link(RTM_NEWLINK, CREATE, {}, {**wanted, "IFLA_LINKINFO": info})

    def create_vlan(self, name: str, *, link: str, vlan: int) -> None:
        """See contract.Links."""
        info = {"IFLA_INFO_KIND": "vlan", "IFLA_INFO_DATA": {"IFLA_VLAN_ID": vlan}}
        with self._asking(f"create the link {name} for VLAN {vlan}"):
            wanted = {"IFLA_IFNAME": name, "IFLA_LINK": self._index(link), "IFLA_LINKINFO": info}
            self._ask_link(RTM_NEWLINK, CREATE, {}, wanted)

    def create_veth(
        self, name: str, *, mac: str, peer: str, peer_mac: str, peer_netns: str, mtu: int = 0
    ) -> None:
        """See contract.Links."""
        wanted = _given(IFLA_IFNAME=name, IFLA_ADDRESS=mac, IFLA_MTU=mtu)
        other = _given(IFLA_IFNAME=peer, IFLA_ADDRESS=peer_mac, IFLA_MTU=mtu)
        other["IFLA_NET_NS_FD"] = self.open_peer(peer_netns)
        info = {"IFLA_INFO_KIND": "veth", "IFLA_INFO_DATA": {"VETH_INFO_PEER": other}}
        with self._asking(f"create the veth pair {name} and {peer}"):
            self._ask_link(RTM_NEWLINK, CREATE, {}, {**wanted, "IFLA_LINKINFO": info})

    def delete(self, name: str) -> bool:
        """See contract.Links."""
        with self._asking(f"delete the link {name}", absent=(errno.ENODEV, errno.EINVAL, errno.ERANGE)):
            self._ask_link(RTM_DELLINK, NEW, {}, {"IFLA_IFNAME": name})
            return True
        return False

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
        flags = [(IFF_UP, up), (IFF_PROMISC, promisc), (IFF_ALLMULTI, allmulti)]
        with self._asking(f"change the link {name}"):
            above = None if master is None else self._index(master) if master else 0
            wanted = {"IFLA_MTU": mtu, "IFLA_ADDRESS": mac, "IFLA_MASTER": above, "IFLA_TXQLEN": txqlen}
            fields = {
                "index": self._index(name),
                "change": sum(flag for flag, value in flags if value is not None),
                "flags": sum(flag for flag, value in flags if value),
            }
            present = {key: value for key, value in wanted.items() if value is not None}
            self._ask_link(RTM_SETLINK, NEW, fields, present)

    def change_port(self, name: str, *, hairpin: bool | None = None, isolated: bool | None = None) -> None:
        """See contract.Links."""
        wanted = {"IFLA_BRPORT_MODE": hairpin, "IFLA_BRPORT_ISOLATED": isolated}
        data = {key: int(value) for key, value in wanted.items() if value is not None}
        info = {"IFLA_INFO_SLAVE_KIND": "bridge", "IFLA_INFO_SLAVE_DATA": data}
        with self._asking(f"change the bridge port {name}"):
            self._ask_link(RTM_NEWLINK, NEW, {"index": self._index(name)}, {"IFLA_LINKINFO": info})

    def vlans(self, name: str) -> tuple[PortVlans, ...]:
        """See contract.Links."""
        with self._asking(f"list the VLANs of {name}"):
            index = self._index(name)
            mask = {"IFLA_EXT_MASK": RTEXT_FILTER_BRVLAN_COMPRESSED}
            fields = {"family": socket.AF_BRIDGE}
            found = self._netlink.ask(RTM_GETLINK, NLM_F_DUMP, self._ifinfmsg, fields, mask)
        return next((vlans for port, vlans in map(read_port_vlans, found) if port == index), ())

    def add_vlans(self, name: str, vlans: PortVlans, *, on_bridge: bool = False) -> None:
        """See contract.Links."""
        with self._asking(f"add VLAN {vlans.first} to {name}"):
            self._netlink.send(RTM_SETLINK, port_vlans(self._index(name), vlans, on_bridge=on_bridge))

    def delete_vlans(self, name: str, vlans: PortVlans) -> None:
        """See contract.Links."""
        with self._asking(f"delete VLAN {vlans.first} of {name}", absent=(errno.ENOENT,)):
            self._netlink.send(RTM_DELLINK, port_vlans(self._index(name), vlans))

    # --- addresses --------------------------------------------------------------------------------------------

    def addresses(self, name: str) -> tuple[str, ...]:
        """See contract.Links."""
        return tuple(each.address for each in self._addresses(name) if not each.address.startswith("fe80:"))

    def _addresses(self, name: str) -> list[KernelAddress]:
        with self._asking(f"list the addresses of {name}"):
            fields = {"index": self._index(name)}
            found = self._netlink.ask(RTM_GETADDR, NLM_F_DUMP, self._ifaddrmsg, fields)
        return [each for each in map(read_address, found) if each.index == fields["index"]]

    def unsettled_addresses(self, name: str) -> Mapping[str, bool]:
        """See contract.Links."""
        return {
            each.address: each.duplicate for each in self._addresses(name) if each.tentative or each.duplicate
        }

    def add_address(self, name: str, address: str, *, nodad: bool = True) -> bool:
        """See contract.Links."""
        interface = ipaddress.ip_interface(address)
        extra: dict[str, Any] = {}
        if interface.version == 4 and interface.network.prefixlen < 31:
            extra["IFA_BROADCAST"] = str(interface.network.broadcast_address)
        if interface.version == 6 and nodad:
            extra["IFA_FLAGS"] = IFA_F_NODAD | IFA_F_PERMANENT
        with self._asking(f"add the address {address} to {name}", absent=(errno.EEXIST,)):
            self._ask_address(RTM_NEWADDR, CREATE, name, interface, extra)
            return True
        return False

    def delete_address(self, name: str, address: str) -> bool:
        """See contract.Links."""
        absent = (errno.EADDRNOTAVAIL, errno.ENODEV)
        with self._asking(f"delete the address {address} of {name}", absent=absent):
            self._ask_address(RTM_DELADDR, NEW, name, ipaddress.ip_interface(address), {})
            return True
        return False

    # --- routes -----------------------------------------------------------------------------------------------

    def routes(self, family: Family, *, table: int = MAIN_TABLE) -> tuple[KernelRoute, ...]:
        """See contract.Links."""
        fields = {"family": _FAMILY[family], "table": table if table < 256 else 0, "type": RTN_UNICAST}
        found: list[Any] = []
        # A namespace that never had a route has no such table yet (ENOENT).
        with self._asking("list routes", absent=(errno.ENOENT,)):
            found = self._netlink.ask(RTM_GETROUTE, NLM_F_DUMP, self._rtmsg, fields)
        name = cache(self._netlink.name)
        routes = [read_route(each, lambda index: name(index) if index else "") for each in found]
        return tuple(
            each
            for each in routes
            if each is not None and (each.table == table or (not table and each.table != LOCAL_TABLE))
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
        network = ipaddress.ip_network(dst)
        if scope is None:
            scope = SCOPE_LINK if not gw and network.version == 4 else 0
        fields = {
            "family": _FAMILY[network.version],
            "dst_len": network.prefixlen,
            "table": MAIN_TABLE if table is None else table if table < 256 else 0,
            "proto": RTPROT_BOOT,
            "scope": scope,
            "type": RTN_UNICAST,
        }
        metrics = _given(RTAX_MTU=mtu, RTAX_ADVMSS=advmss)
        wanted = _given(RTA_GATEWAY=gw, RTA_METRICS=metrics, RTA_PRIORITY=priority, RTA_TABLE=table)
        if network.prefixlen:
            wanted["RTA_DST"] = str(network.network_address)
        with self._asking(f"add the route to {dst} through {ifname}"):
            wanted["RTA_OIF"] = self._index(ifname)
            self._netlink.ask(RTM_NEWROUTE, CREATE, self._rtmsg, fields, wanted)

    # --- sysctls and neighbours -------------------------------------------------------------------------------

    def sysctl(self, key: str) -> str | None:
        """See contract.Links."""
        with self._within():
            try:
                with open(f"/proc/sys/net/{key}", encoding="ascii") as file:
                    return file.read().strip()
            except FileNotFoundError:
                return None
            except OSError as error:
                raise KernelRefused(f"read the sysctl net/{key}", error.errno or 0) from error

    def set_sysctl(self, key: str, value: str) -> bool:
        """See contract.Links."""
        present = self.sysctl(key)
        if present is None:
            return False
        if present == value:
            return True
        with self._within():
            try:
                with open(f"/proc/sys/net/{key}", "w", encoding="ascii") as file:
                    file.write(value)
            except OSError as error:
                raise KernelRefused(f"set the sysctl net/{key} to {value}", error.errno or 0) from error
        return True

    def announce(self, name: str) -> None:
        """See contract.Links.

        The kernel speaks for itself when a link is given a MAC address, also the one that it has (ip-sysctl: arp_notify, ndisc_notify);
        closing a packet socket of ours would take 16 ms.
        """
        link = self.get(name)
        if link is None:
            return
        with suppress(KernelRefused):
            self.set_sysctl(f"ipv4/conf/{name}/arp_notify", "1")
            self.set_sysctl(f"ipv6/conf/{name}/ndisc_notify", "1")
            self.change(name, mac=link.mac)

    # --- underneath -------------------------------------------------------------------------------------------

    @property
    def _netlink(self) -> Netlink:
        if self._socket is None:
            with self._within():
                self._socket = Netlink()
        return self._socket

    def _within(self) -> Any:
        return nullcontext() if self._netns is None else inside(self._netns)

    @cached_property
    def _ifinfmsg(self) -> Any:
        return message_class("rtnl.ifinfmsg.ifinfmsg")

    @cached_property
    def _ifaddrmsg(self) -> Any:
        return message_class("rtnl.ifaddrmsg.ifaddrmsg")

    @cached_property
    def _rtmsg(self) -> Any:
        return message_class("rtnl.rtmsg.rtmsg")

    def _link(self, index: int) -> Link:
        return read_link(self._netlink.ask(RTM_GETLINK, 0, self._ifinfmsg, {"index": index}, _NO_COUNTERS)[0])

    def _ask_link(
        self, kind: int, flags: int, fields: Mapping[str, int], attributes: Mapping[str, Any]
    ) -> None:
        self._netlink.ask(kind, flags, self._ifinfmsg, fields, attributes)

    def _ask_address(
        self,
        kind: int,
        flags: int,
        name: str,
        interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface,
        extra: Mapping[str, Any],
    ) -> None:
        fields = {
            "family": _FAMILY[interface.version],
            "prefixlen": interface.network.prefixlen,
            "index": self._index(name),
        }
        text = str(interface.ip)
        self._netlink.ask(
            kind, flags, self._ifaddrmsg, fields, {"IFA_LOCAL": text, "IFA_ADDRESS": text, **extra}
        )

    def _index(self, name: str) -> int:
        index = self._netlink.index(name)
        if index is None:
            raise KernelRefused(f"find the link {name}", errno.ENODEV)
        return index

    @contextmanager
    def _asking(self, request: str, absent: tuple[int, ...] = ()) -> Iterator[None]:
        """Errors of the kernel become ours, here and nowhere else; those in `absent` end the block quietly.

        A socket that failed in any other way is dropped, so that a warm one never answers for the request before.
        """
        try:
            yield
        except Refused as error:
            if error.errno not in absent:
                raise KernelRefused(request, error.errno or 0, error.words) from error
        except KernelRefused as error:
            if error.errno not in absent:
                raise
        except OSError as error:
            if error.errno in absent:
                return
            self.close()
            raise KernelRefused(request, error.errno or errno.EIO) from error


def _given(**values: Any) -> dict[str, Any]:
    """Those that say something: not None, "", {} or 0, which is the kernel's default wherever this is used."""
    return {key: value for key, value in values.items() if value}


def same_namespace(path: str) -> bool:
    """Whether `path` is the network namespace we run in; False when there is nothing."""
    try:
        theirs, ours = os.stat(path), os.stat(OWN_NETNS)
    except OSError:
        return False
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)
