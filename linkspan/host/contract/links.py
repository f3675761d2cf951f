"""Links, addresses, routes and network sysctls of one network namespace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from linkspan.cni.addresses import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network interface as the kernel has it.

    * `master` is the index of its bridge, `peer` that of a veth's other end in *its* namespace; 0 for none.
    * `carrier`: whether its operational state is up (of a veth: whether both ends are).
    * `lower_up`: whether it has a carrier at this moment, which `carrier` may follow a second later. A bridge
      has one while a port has.
    * `promisc`: the flag that an administrator sets; `promiscuity`: how many users need the mode.
    * `txqlen`: the length of its transmit queue in packets.
    * `vlan_filtering`: None for a link that is not a bridge, and where this kernel's bridges know no VLANs.
    """

    index: int
    name: str
    kind: str
    mac: str
    mtu: int
    up: bool
    carrier: bool
    lower_up: bool = False
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
    """The VLANs `first` to `last` (inclusive) of a bridge port, which sends them tagged or untagged."""

    first: int
    last: int
    untagged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRoute:
    """A route of a namespace. `dst` is in CIDR form, `gw` "" on-link, `ifname` the outgoing interface."""

    dst: str
    gw: str
    ifname: str
    table: int
    priority: int
    scope: int
    mtu: int = 0
    advmss: int = 0

    @property
    def is_default(self) -> bool:
        """Whether it is a default route."""
        return self.dst.endswith("/0")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """A rule of policy routing: what the address `source` sends is routed by a table (see ip-rule(8)).

    Rules are applied by ascending `priority`: that of the local table is 0, that of main 32766.
    """

    source: str
    table: int
    priority: int


class Links(Protocol):
    """One network namespace. What fails raises KernelRefused with the kernel's errno.

    A method that needs a link by name raises KernelRefused(ENODEV) if there is none.
    """

    def get(self, name: str) -> Link | None:
        """The link of that name, or None."""

    def by_index(self, index: int) -> Link | None:
        """The link of that index, or None."""

    def all(self, *, kind: str = "", master: int | None = None) -> tuple[Link, ...]:
        """All links, or those of a kind ("veth", "bridge"), or the ports of the bridge of an index.

        Master 0 means the links that are ports of nothing. The kernel selects by master, so the cost does not
        grow with the ports of other bridges.
        """

    def create_bridge(self, name: str, *, mac: str = "", mtu: int = 0, vlan_filtering: bool = False) -> None:
        """Create a bridge, which is down. EEXIST if the name is taken; mtu 0 is the kernel's default."""

    def create_vlan(self, name: str, *, link: str, vlan: int) -> None:
        """Create an 802.1Q link on top of `link`. EEXIST if the name is taken, EOPNOTSUPP without 802.1Q."""

    def create_veth(
        self, name: str, *, mac: str, peer: str, peer_mac: str, peer_netns: str, mtu: int = 0
    ) -> None:
        """Create a veth pair in one request: `name` here, `peer` in the namespace at a path; both are down.

        EEXIST if either name is taken.
        """

    def delete(self, name: str) -> bool:
        """Delete a link, and with a veth its other end. False if there is no link of that name."""

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
        """Change what is not None, in one request. `master` "" removes the link from its bridge."""

    def change_port(self, name: str, *, hairpin: bool | None = None, isolated: bool | None = None) -> None:
        """Change flags of a bridge port."""

    def vlans(self, name: str) -> tuple[PortVlans, ...]:
        """The VLANs of a bridge or bridge port, in order and in the fewest ranges."""

    def add_vlans(self, name: str, vlans: PortVlans, *, on_bridge: bool = False) -> None:
        """Add VLANs to a bridge port, or to a bridge itself; a single untagged one becomes the PVID."""

    def delete_vlans(self, name: str, vlans: PortVlans) -> None:
        """Delete VLANs from a bridge port."""

    def addresses(self, name: str, *, link_local: bool = False) -> tuple[str, ...]:
        """The addresses of a link in CIDR form, in the kernel's order; link-local IPv6 ones if asked for."""

    def unsettled_addresses(self, name: str) -> Mapping[str, bool]:
        """IPv6 addresses (CIDR) that cannot be used yet -> whether that is because a duplicate was found."""

    def add_address(self, name: str, address: str, *, nodad: bool = True) -> bool:
        """Add an address (CIDR): IPv4 with its broadcast address, IPv6 without duplicate detection.

        False if the link has it already.
        """

    def delete_address(self, name: str, address: str) -> bool:
        """Delete an address (CIDR); False if the link does not have it."""

    def routes(self, family: Family, *, table: int = 254, ifname: str = "") -> tuple[KernelRoute, ...]:
        """The unicast routes of one table (254 is main), or of all tables but local for 0.

        With `ifname`, only the routes through that link, which the kernel selects; none if it does not exist.
        A route over several links has the `ifname` "".
        """

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
        """Add a route through `ifname`.

        EEXIST for one that is there. One with the same dst, table and priority but another gateway is EEXIST
        for IPv6, and goes behind the new one for IPv4.
        """

    def delete_route(self, route: KernelRoute) -> bool:
        """Delete a route; False if it is not there."""

    def rules(self, family: Family) -> tuple[PolicyRule, ...] | None:
        """The policy rules that select one source address, None if this kernel has no policy routing."""

    def add_rule(self, rule: PolicyRule) -> None:
        """Add a policy rule. EEXIST if it is there, EAFNOSUPPORT if this kernel has no policy routing."""

    def delete_rule(self, rule: PolicyRule) -> bool:
        """Delete a policy rule; False if it is not there."""

    def sysctl(self, key: str) -> str | None:
        """The value of a key below net, such as "ipv4/ip_forward"; None if this kernel has no such key."""

    def set_sysctl(self, key: str, value: str) -> bool:
        """Set a key unless it has the value already; False if this kernel has no such key.

        EROFS or EACCES where /proc/sys is not writable.
        """

    def announce(self, name: str) -> None:
        """Announce a link's addresses: gratuitous ARP and unsolicited NA. Best effort, without waiting."""
