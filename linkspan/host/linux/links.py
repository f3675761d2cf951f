"""The contract's Links on the kernel: links, addresses, routes and network sysctls of one network namespace.

The messages are those of `netlink.rtnl_link` and `netlink.rtnl_route`. A netlink socket belongs to the
namespace in which it was opened, so a container's socket is opened inside its namespace and used from
outside.
"""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import cache

from linkspan.cni.addresses import Family
from linkspan.cni.errors import KernelRefused
from linkspan.host.contract import KernelRoute, Link, PolicyRule, PortVlans
from linkspan.host.linux import sysctls
from linkspan.host.linux.errors import kernel_errors
from linkspan.host.linux.namespaces import inside
from linkspan.host.linux.netdevice import index_of, name_of
from linkspan.host.linux.netlink import rtnl_link, rtnl_route, rtnl_rule
from linkspan.host.linux.netlink.client import NETLINK_ROUTE, Netlink
from linkspan.host.linux.netlink.rtnl_route import LOCAL_TABLE, MAIN_TABLE

#: Without CONFIG_IP_MULTIPLE_TABLES, or CONFIG_FIB_RULES.
_NO_POLICY_ROUTING = (errno.EAFNOSUPPORT, errno.EOPNOTSUPP)


class LinuxLinks:
    """One network namespace: open as descriptor `netns`, or the one we run in if that is None.

    `open_netns` gives a descriptor of the namespace at a path. Errors: see contract.Links.
    """

    def __init__(self, netns: int | None, open_netns: Callable[[str], int]) -> None:
        self._netns = netns
        self.open_netns = open_netns
        self._netlink = Netlink(NETLINK_ROUTE, self._entered)

    def close(self) -> None:
        """Close the netlink socket; the next request opens another."""
        self._netlink.close()

    def cookie(self) -> int:
        """The kernel's number for this network namespace; 0 before Linux 5.14. Raises KernelRefused."""
        with kernel_errors("identify a network namespace"):
            return self._netlink.netns_cookie()

    # --- links ------------------------------------------------------------------------------------

    def get(self, name: str) -> Link | None:
        """See contract.Links."""
        with kernel_errors(f"read the link {name}", absent=(errno.ENODEV,)):
            index = index_of(self._netlink.descriptor(), name)
            return None if index is None else self._read(index)
        return None

    def by_index(self, index: int) -> Link | None:
        """See contract.Links."""
        with kernel_errors(f"read link {index}", absent=(errno.ENODEV,)):
            return self._read(index) if index > 0 else None
        return None

    def all(self, *, kind: str = "", master: int | None = None) -> tuple[Link, ...]:
        """See contract.Links."""
        with kernel_errors("list links"):
            found = self._netlink.dump(rtnl_link.get_links(master))
            if master == 0 and not found:  # there is always lo: this kernel does not know the question
                found = self._netlink.dump(rtnl_link.get_links())
        links = map(rtnl_link.read_link, found)
        return tuple(each for each in links if kind in ("", each.kind) and master in (None, each.master))

    def create_bridge(self, name: str, *, mac: str = "", mtu: int = 0, vlan_filtering: bool = False) -> None:
        """See contract.Links."""
        with kernel_errors(f"create the bridge {name}"):
            self._netlink.do(rtnl_link.new_bridge(name, mac=mac, mtu=mtu, vlan_filtering=vlan_filtering))

    def create_vlan(self, name: str, *, link: str, vlan: int) -> None:
        """See contract.Links."""
        with kernel_errors(f"create the link {name} for VLAN {vlan}"):
            self._netlink.do(rtnl_link.new_vlan(name, link=self._index(link), vlan=vlan))

    def create_veth(
        self, name: str, *, mac: str, peer: str, peer_mac: str, peer_netns: str, mtu: int = 0
    ) -> None:
        """See contract.Links."""
        netns = self.open_netns(peer_netns)
        with kernel_errors(f"create the veth pair {name} and {peer}"):
            self._netlink.do(
                rtnl_link.new_veth(name, mac=mac, peer=peer, peer_mac=peer_mac, peer_netns=netns, mtu=mtu)
            )

    def delete(self, name: str) -> bool:
        """See contract.Links."""
        with kernel_errors(f"delete the link {name}", absent=(errno.ENODEV,)):
            index = index_of(self._netlink.descriptor(), name)
            if index is not None:
                self._netlink.do(rtnl_link.del_link(index))
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
        with kernel_errors(f"change the link {name}"):
            request = rtnl_link.set_link(
                self._index(name),
                up=up,
                promisc=promisc,
                allmulti=allmulti,
                mtu=mtu,
                mac=mac,
                master=None if master is None else self._index(master) if master else 0,
                txqlen=txqlen,
            )
            self._netlink.do(request)

    def change_port(self, name: str, *, hairpin: bool | None = None, isolated: bool | None = None) -> None:
        """See contract.Links."""
        with kernel_errors(f"change the bridge port {name}"):
            self._netlink.do(rtnl_link.set_port(self._index(name), hairpin=hairpin, isolated=isolated))

    def vlans(self, name: str) -> tuple[PortVlans, ...]:
        """See contract.Links."""
        with kernel_errors(f"list the VLANs of {name}"):
            index = self._index(name)
            found = dict(map(rtnl_link.read_port_vlans, self._netlink.dump(rtnl_link.get_port_vlans())))
        return found.get(index, ())

    def add_vlans(self, name: str, vlans: PortVlans, *, on_bridge: bool = False) -> None:
        """See contract.Links."""
        with kernel_errors(f"add VLAN {vlans.first} to {name}"):
            self._netlink.do(rtnl_link.add_port_vlans(self._index(name), vlans, on_bridge=on_bridge))

    def delete_vlans(self, name: str, vlans: PortVlans) -> None:
        """See contract.Links."""
        with kernel_errors(f"delete VLAN {vlans.first} of {name}", absent=(errno.ENOENT,)):
            self._netlink.do(rtnl_link.del_port_vlans(self._index(name), vlans))

    # --- addresses --------------------------------------------------------------------------------

    def addresses(self, name: str, *, link_local: bool = False) -> tuple[str, ...]:
        """See contract.Links."""
        found = (each.address for each in self._addresses(name))
        return tuple(each for each in found if link_local or not each.startswith("fe80:"))

    def unsettled_addresses(self, name: str) -> Mapping[str, bool]:
        """See contract.Links."""
        return {
            each.address: each.duplicate for each in self._addresses(name) if each.tentative or each.duplicate
        }

    def add_address(self, name: str, address: str, *, nodad: bool = True) -> bool:
        """See contract.Links."""
        interface = ipaddress.ip_interface(address)
        with kernel_errors(f"add the address {address} to {name}", absent=(errno.EEXIST,)):
            self._netlink.do(rtnl_route.new_address(self._index(name), interface, nodad=nodad))
            return True
        return False

    def delete_address(self, name: str, address: str) -> bool:
        """See contract.Links."""
        interface, absent = ipaddress.ip_interface(address), (errno.EADDRNOTAVAIL, errno.ENODEV)
        with kernel_errors(f"delete the address {address} of {name}", absent=absent):
            index = index_of(self._netlink.descriptor(), name)
            if index is not None:
                self._netlink.do(rtnl_route.del_address(index, interface))
                return True
        return False

    # --- routes -----------------------------------------------------------------------------------

    def routes(self, family: Family, *, table: int = MAIN_TABLE, ifname: str = "") -> tuple[KernelRoute, ...]:
        """See contract.Links."""
        found: list[KernelRoute | None] = []
        # A table that never had a route does not exist (ENOENT).
        with kernel_errors("list routes", absent=(errno.ENOENT,)):
            index = index_of(self._netlink.descriptor(), ifname) if ifname else 0
            if index is None:
                return ()
            payloads = self._netlink.dump(rtnl_route.get_routes(family, table, index))
            name = cache(self._name)
            found = [rtnl_route.read_route(each, name) for each in payloads]
        return tuple(
            each
            for each in found
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
        with kernel_errors(f"add the route to {dst} through {ifname}"):
            request = rtnl_route.new_route(
                dst,
                index=self._index(ifname),
                gw=gw,
                mtu=mtu,
                advmss=advmss,
                priority=priority,
                table=table,
                scope=scope,
            )
            self._netlink.do(request)

    def delete_route(self, route: KernelRoute) -> bool:
        """See contract.Links."""
        absent = (errno.ESRCH, errno.ENODEV, errno.ENOENT)
        with kernel_errors(f"delete the route to {route.dst} through {route.ifname}", absent=absent):
            index = index_of(self._netlink.descriptor(), route.ifname)
            if index is not None:
                self._netlink.do(rtnl_route.del_route(route, index))
                return True
        return False

    # --- policy rules -----------------------------------------------------------------------------

    def rules(self, family: Family) -> tuple[PolicyRule, ...] | None:
        """See contract.Links."""
        with kernel_errors("list policy rules", absent=_NO_POLICY_ROUTING):
            found = [rtnl_rule.read_rule(each) for each in self._netlink.dump(rtnl_rule.get_rules(family))]
            return tuple(each for each in found if each is not None)
        return None

    def add_rule(self, rule: PolicyRule) -> None:
        """See contract.Links."""
        with kernel_errors(f"add the policy rule from {rule.source} to table {rule.table}"):
            self._netlink.do(rtnl_rule.new_rule(rule))

    def delete_rule(self, rule: PolicyRule) -> bool:
        """See contract.Links."""
        absent = (errno.ENOENT, *_NO_POLICY_ROUTING)
        with kernel_errors(f"delete the policy rule from {rule.source} to table {rule.table}", absent=absent):
            self._netlink.do(rtnl_rule.del_rule(rule))
            return True
        return False

    # --- sysctls and neighbours -------------------------------------------------------------------

    def sysctl(self, key: str) -> str | None:
        """See contract.Links."""
        with kernel_errors(f"read the sysctl net/{key}"), self._entered():
            return sysctls.read(key)

    def set_sysctl(self, key: str, value: str) -> bool:
        """See contract.Links."""
        with kernel_errors(f"set the sysctl net/{key} to {value}"), self._entered():
            return sysctls.write(key, value)

    def announce(self, name: str) -> None:
        """See contract.Links.

        The kernel announces a link's addresses itself when the link is given a MAC address, also the one
        that it has (ip-sysctl: arp_notify, ndisc_notify). A packet socket of ours would take 16 ms to close.
        """
        with suppress(KernelRefused):
            link = self.get(name)
            if link is not None:
                self.set_sysctl(f"ipv4/conf/{name}/arp_notify", "1")
                self.set_sysctl(f"ipv6/conf/{name}/ndisc_notify", "1")
                self.change(name, mac=link.mac)

    # --- underneath -------------------------------------------------------------------------------

    @contextmanager
    def _entered(self) -> Iterator[None]:
        with nullcontext() if self._netns is None else inside(self._netns):
            yield

    def _read(self, index: int) -> Link:
        return rtnl_link.read_link(self._netlink.get(rtnl_link.get_link(index)))

    def _addresses(self, name: str) -> list[rtnl_route.KernelAddress]:
        with kernel_errors(f"list the addresses of {name}"):
            index = self._index(name)
            found = [
                rtnl_route.read_address(each) for each in self._netlink.dump(rtnl_route.get_addresses(index))
            ]
        return [each for each in found if each.index == index]

    def _index(self, name: str) -> int:
        index = index_of(self._netlink.descriptor(), name)
        if index is None:
            raise KernelRefused(f"find the link {name}", errno.ENODEV)
        return index

    def _name(self, index: int) -> str:
        return name_of(self._netlink.descriptor(), index) if index else ""
