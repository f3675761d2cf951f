"""Links, addresses, routes and network sysctls of one network namespace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from linkspan.netfilter.rules import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network interface as the kernel has it. `master` and `peer` are interface indexes, 0 for none.

    `carrier` is whether the operational state is up (for a veth: both ends are). `peer` is the index of a veth's other end in *its*
    namespace. `promisc` is the flag that a person sets, `promiscuity` how many users there are of it; `txqlen` in packets.
    `vlan_filtering` is a bridge's, None for any other link and where this kernel's bridges know no VLANs.
    """

    index: int
    name: str
    kind: str
    mac: str
    mtu: int
    up: bool
    carrier: bool
    master: int = 0
    peer: int = 0
    promiscuity: int = 0
    hairpin: bool = False
    isolated: bool = False
    promisc: bool = False
    allmulti: bool = False
    txqlen: int = 1000
    vlan_filtering: bool | None = None


@dataclass(frozen=True, slots=True, order=True)
class PortVlans:
    """VLANs of a bridge port, `first` to `last` (both of them in it): sent with a tag, or as the port's own without one."""

    first: int
    last: int
    untagged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRoute:
    """A route of a namespace. `gw` is "" on-link; `ifname` the outgoing interface; `dst` in CIDR form."""

    dst: str
    gw: str
    ifname: str
    table: int
    priority: int
    scope: int
    mtu: int = 0
    advmss: int = 0


class Links(Protocol):
    """The links, addresses, routes and network sysctls of one network namespace."""

    def get(self, name: str) -> Link | None:
        """The link of that name, or None."""

    def by_index(self, index: int) -> Link | None:
        """The link of that index, or None."""

    def all(self, *, kind: str = "", master: int = 0) -> tuple[Link, ...]:
        """All links, or those of a kind ("veth", "bridge") or on a bridge."""

    def create_bridge(self, name: str, *, mac: str = "", mtu: int = 0, vlan_filtering: bool = False) -> None:
        """Make a bridge that is down. KernelRefused(EEXIST) if any link has the name; mtu 0 is the kernel's default."""

    def create_vlan(self, name: str, *, link: str, vlan: int) -> None:
        """Make an 802.1Q link on top of `link`. KernelRefused(EEXIST) if the name is taken, EOPNOTSUPP without 802.1Q."""

    def create_veth(
        self, name: str, *, mac: str, peer: str, peer_mac: str, peer_netns: str, mtu: int = 0
    ) -> None:
        """Make a pair in one request: `name` here, `peer` inside `peer_netns` (a path). Both are down.

        KernelRefused(EEXIST) when either name is taken.
        """

    def delete(self, name: str) -> bool:
        """Delete a link (a veth's other end goes with it). False if there is none of that name."""

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
        """Change what is not None, in one request. `master` "" takes the link off its bridge."""

    def change_port(self, name: str, *, hairpin: bool | None = None, isolated: bool | None = None) -> None:
        """Change a bridge port's flags."""

    def vlans(self, name: str) -> tuple[PortVlans, ...]:
        """The VLANs of a bridge port, or of a bridge itself, in order; neighbouring ones that are alike as one."""

    def add_vlans(self, name: str, vlans: PortVlans, *, on_bridge: bool = False) -> None:
        """Give a bridge port (or, `on_bridge`, the bridge itself) VLANs; `untagged` also makes the first its PVID."""

    def delete_vlans(self, name: str, vlans: PortVlans) -> None:
        """Take VLANs from a bridge port."""

    def addresses(self, name: str) -> tuple[str, ...]:
        """The addresses on a link in CIDR form, link-local IPv6 left out, in the kernel's order."""

    def unsettled_addresses(self, name: str) -> Mapping[str, bool]:
        """The IPv6 addresses (CIDR) that cannot be used yet -> whether a duplicate was found (IFA_F_DADFAILED)."""

    def add_address(self, name: str, address: str, *, nodad: bool = True) -> bool:
        """Put an address (CIDR) on a link; IPv4 gets its broadcast address, IPv6 no duplicate detection. False if there."""

    def delete_address(self, name: str, address: str) -> bool:
        """Take an address off a link; False if it was not there."""

    def routes(self, family: Family, *, table: int = 254) -> tuple[KernelRoute, ...]:
        """The unicast routes of one table (254 is main; 0 means all tables but local)."""

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
        """Add a route through `ifname`. KernelRefused(EEXIST) if one with this dst, table and priority exists."""

    def sysctl(self, key: str) -> str | None:
        """The value of a file below /proc/sys/net ("ipv4/ip_forward"), stripped; None if this kernel has none."""

    def set_sysctl(self, key: str, value: str) -> bool:
        """Write it unless it is so already. False if this kernel has no such file. KernelRefused(EROFS, EACCES) as told."""

    def announce(self, name: str) -> None:
        """Tell the link's neighbours who has its addresses: gratuitous ARP and unsolicited NA. Best effort, no wait."""
