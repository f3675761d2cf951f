"""Links, addresses, routes and network sysctls of one namespace, through pyroute2; nothing else imports it but conntrack.

A netlink socket belongs to the namespace it was opened in, so a container's socket is opened while inside and used from outside.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import Any

from linkspan.errors import KernelRefused
from linkspan.host.contract import KernelRoute, Link
from linkspan.host.linux.namespaces import inside
from linkspan.rules import Family

IFF_UP = 0x1
IFF_PROMISC = 0x100
IFA_F_NODAD = 0x02
IFA_F_PERMANENT = 0x80
IF_OPER_UP = 6
SCOPE_LINK = 253
MAIN_TABLE = 254
LOCAL_TABLE = 255
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


class LinuxLinks:
    """The contract's Links for one namespace. `netns` is an open descriptor, or None for the namespace we run in."""

    def __init__(self, netns: int | None, open_peer: Callable[[str], int]) -> None:
        self._netns = netns
        self.open_peer = open_peer
        self._socket: Any = None

    def close(self) -> None:
        """Give back the netlink socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # --- links ------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Link | None:
        """See contract.Links."""
        message = self._message(name)
        return _link(message) if message else None

    def by_index(self, index: int) -> Link | None:
        """See contract.Links."""
        with self._asking(f"look at link {index}", absent=(errno.ENODEV,)):
            return next((_link(each) for each in self._netlink.link("get", index=index)), None)
        return None

    def all(self, *, kind: str = "", master: int = 0) -> tuple[Link, ...]:
        """See contract.Links."""
        with self._asking("list links"):
            links = [_link(each) for each in self._netlink.link("dump")]
        return tuple(
            each
            for each in links
            if (not kind or each.kind == kind) and (not master or each.master == master)
        )

    def create_bridge(self, name: str, *, mac: str = "", mtu: int = 0) -> None:
        """See contract.Links."""
        with self._asking(f"create the bridge {name}"):
            self._netlink.link("add", ifname=name, kind="bridge", **_given(address=mac, mtu=mtu))

    def create_veth(
        self, name: str, *, mac: str, peer: str, peer_mac: str, peer_netns: str, mtu: int = 0
    ) -> None:
        """See contract.Links."""
        other = {"ifname": peer, "net_ns_fd": self.open_peer(peer_netns), **_given(address=peer_mac, mtu=mtu)}
        with self._asking(f"create the veth pair {name} and {peer}"):
            self._netlink.link("add", ifname=name, kind="veth", address=mac, peer=other, **_given(mtu=mtu))

    def delete(self, name: str) -> bool:
        """See contract.Links."""
        link = self.get(name)
        if link is None:
            return False
        with self._asking(f"delete the link {name}", absent=(errno.ENODEV,)):
            self._netlink.link("del", index=link.index)
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
    ) -> None:
        """See contract.Links."""
        wanted: dict[str, Any] = {} if mtu is None else {"mtu": mtu}
        if mac is not None:
            wanted["address"] = mac
        if master is not None:
            wanted["master"] = self._index(master) if master else 0
        flags = [(IFF_UP, up), (IFF_PROMISC, promisc)]
        mask = sum(flag for flag, value in flags if value is not None)
        if mask:
            wanted |= {"change": mask, "flags": sum(flag for flag, value in flags if value)}
        with self._asking(f"change the link {name}"):
            self._netlink.link("set", index=self._index(name), **wanted)

    def change_port(self, name: str, *, hairpin: bool | None = None, isolated: bool | None = None) -> None:
        """See contract.Links."""
        wanted = {"mode": hairpin, "isolated": isolated}
        numbers = {key: int(value) for key, value in wanted.items() if value is not None}
        with self._asking(f"change the bridge port {name}"):
            self._netlink.brport("set", index=self._index(name), **numbers)

    # --- addresses --------------------------------------------------------------------------------------------

    def addresses(self, name: str) -> tuple[str, ...]:
        """See contract.Links."""
        with self._asking(f"list the addresses of {name}"):
            found = list(self._netlink.get_addr(index=self._index(name)))
        texts = [f"{_address_of(each)}/{each['prefixlen']}" for each in found]
        return tuple(each for each in texts if not each.startswith("fe80:"))

    def add_address(self, name: str, address: str, *, nodad: bool = True) -> bool:
        """See contract.Links."""
        interface = ipaddress.ip_interface(address)
        extra: dict[str, Any] = {}
        if interface.version == 4 and interface.network.prefixlen < 31:
            extra["broadcast"] = str(interface.network.broadcast_address)
        if interface.version == 6 and nodad:
            extra["flags"] = IFA_F_NODAD | IFA_F_PERMANENT
        with self._asking(f"add the address {address} to {name}", absent=(errno.EEXIST,)):
            self._netlink.addr(
                "add",
                index=self._index(name),
                address=str(interface.ip),
                prefixlen=interface.network.prefixlen,
                family=_FAMILY[interface.version],
                **extra,
            )
            return True
        return False

    def delete_address(self, name: str, address: str) -> bool:
        """See contract.Links."""
        interface = ipaddress.ip_interface(address)
        with self._asking(
            f"delete the address {address} of {name}", absent=(errno.EADDRNOTAVAIL, errno.ENODEV)
        ):
            self._netlink.addr(
                "del",
                index=self._index(name),
                address=str(interface.ip),
                prefixlen=interface.network.prefixlen,
                family=_FAMILY[interface.version],
            )
            return True
        return False

    # --- routes -----------------------------------------------------------------------------------------------

    def routes(self, family: Family, *, table: int = MAIN_TABLE) -> tuple[KernelRoute, ...]:
        """See contract.Links."""
        with self._asking("list routes"):
            found = list(self._netlink.route("dump", family=_FAMILY[family]))
        names: dict[int, str] = {}
        routes = [_route(each, partial(self._name, names)) for each in found if each["type"] == 1]
        return tuple(
            each for each in routes if each.table == table or (not table and each.table != LOCAL_TABLE)
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
        metrics = {key: value for key, value in (("mtu", mtu), ("advmss", advmss)) if value}
        wanted: dict[str, Any] = {
            "dst": dst,
            "oif": self._index(ifname),
            "family": _FAMILY[6 if ":" in dst else 4],
        }
        if gw:
            wanted["gateway"] = gw
        elif scope is None and ":" not in dst:
            wanted["scope"] = SCOPE_LINK
        if metrics:
            wanted["metrics"] = metrics
        optional = {"priority": priority, "table": table, "scope": scope}
        wanted |= {key: value for key, value in optional.items() if value is not None}
        with self._asking(f"add the route to {dst} through {ifname}"):
            self._netlink.route("add", **wanted)

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

    def announce(self, name: str, addresses: Iterable[str]) -> None:
        """See contract.Links."""
        link = self.get(name)
        if link is None:
            return
        mac = bytes.fromhex(link.mac.replace(":", ""))
        with self._within(), suppress(OSError):
            for each in addresses:
                interface = ipaddress.ip_interface(each)
                if interface.version == 4:
                    _gratuitous_arp(name, mac, interface.ip.packed)
                else:
                    _unsolicited_advertisement(name, link.index, mac, interface.ip.packed)

    def forget_neighbour(self, name: str, address: str) -> None:
        """See contract.Links."""
        family = _FAMILY[6 if ":" in address else 4]
        with self._asking(f"forget the neighbour {address}", absent=(errno.ENOENT, errno.ENODEV)):
            self._netlink.neigh("del", dst=address, ifindex=self._index(name), family=family)

    # --- underneath -------------------------------------------------------------------------------------------

    @property
    def _netlink(self) -> Any:
        if self._socket is None:
            from pyroute2 import IPRoute

            with self._within():
                self._socket = IPRoute()
        return self._socket

    def _within(self) -> Any:
        return nullcontext() if self._netns is None else inside(self._netns)

    def _message(self, name: str) -> Any:
        with self._asking(f"look at the link {name}", absent=(errno.ENODEV, errno.EINVAL)):
            return next(iter(self._netlink.link("get", ifname=name)), None)
        return None

    def _index(self, name: str) -> int:
        message = self._message(name)
        if message is None:
            raise KernelRefused(f"find the link {name}", errno.ENODEV)
        return int(message["index"])

    def _name(self, names: dict[int, str], index: int) -> str:
        if index not in names:
            link = self.by_index(index) if index else None
            names[index] = link.name if link else ""
        return names[index]

    @contextmanager
    def _asking(self, request: str, absent: tuple[int, ...] = ()) -> Iterator[None]:
        """Errors of the library become ours, here and nowhere else; those in `absent` end the block quietly.

        A socket that failed in any other way is dropped, so that a warm one never answers for the request before.
        """
        from pyroute2.netlink.exceptions import NetlinkError

        try:
            yield
        except NetlinkError as error:
            if error.code not in absent:
                raise KernelRefused(request, error.code) from error
        except KernelRefused as error:
            if error.errno not in absent:
                raise
        except OSError as error:
            self.close()
            raise KernelRefused(request, error.errno or errno.EIO) from error


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}


def _link(message: Any) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    port = info.get_attr("IFLA_INFO_SLAVE_DATA") if info is not None else None
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        kind=(info.get_attr("IFLA_INFO_KIND") if info else "") or "",
        mac=message.get_attr("IFLA_ADDRESS") or "",
        mtu=message.get_attr("IFLA_MTU") or 0,
        up=bool(message["flags"] & IFF_UP),
        carrier=message.get_attr("IFLA_OPERSTATE") in ("UP", IF_OPER_UP),
        master=message.get_attr("IFLA_MASTER") or 0,
        peer=message.get_attr("IFLA_LINK") or 0,
        promiscuity=message.get_attr("IFLA_PROMISCUITY") or 0,
        hairpin=bool(port.get_attr("IFLA_BRPORT_MODE")) if hasattr(port, "get_attr") else False,
    )


def _address_of(message: Any) -> str:
    return str(message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS"))


def _route(message: Any, name: Callable[[int], str]) -> KernelRoute:
    family = 6 if message["family"] == socket.AF_INET6 else 4
    anywhere = "::" if family == 6 else "0.0.0.0"  # noqa: S104 - a destination, nothing binds
    metrics = message.get_attr("RTA_METRICS")
    return KernelRoute(
        dst=f"{message.get_attr('RTA_DST') or anywhere}/{message['dst_len']}",
        gw=message.get_attr("RTA_GATEWAY") or "",
        ifname=name(message.get_attr("RTA_OIF") or 0),
        table=message.get_attr("RTA_TABLE") or message["table"],
        priority=message.get_attr("RTA_PRIORITY") or 0,
        scope=message["scope"],
        mtu=(metrics.get_attr("RTAX_MTU") or 0) if metrics is not None else 0,
        advmss=(metrics.get_attr("RTAX_ADVMSS") or 0) if metrics is not None else 0,
    )


def _gratuitous_arp(name: str, mac: bytes, address: bytes) -> None:
    """An ARP request for one's own address (RFC 5227, section 3), to everybody."""
    everybody = b"\xff" * 6
    packet = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, mac, address, b"\0" * 6, address)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as raw:
        raw.bind((name, 0x0806))
        raw.send(everybody + mac + b"\x08\x06" + packet)


def _unsolicited_advertisement(name: str, index: int, mac: bytes, address: bytes) -> None:
    """A neighbour advertisement with the override flag (RFC 4861, section 7.2.6), to all nodes."""
    message = struct.pack("!BBHI16sBB6s", 136, 0, 0, 0x20000000, address, 2, 1, mac)
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode() + b"\0")
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        raw.bind((socket.inet_ntop(socket.AF_INET6, address), 0, 0, 0))
        raw.sendto(message, ("ff02::1", 0, 0, index))


def same_namespace(path: str) -> bool:
    """Whether `path` is the network namespace we run in; False when there is nothing."""
    try:
        theirs, ours = os.stat(path), os.stat("/proc/self/ns/net")
    except OSError:
        return False
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)
