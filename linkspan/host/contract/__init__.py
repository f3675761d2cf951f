"""What the world outside looks like to a plugin.

`host.linux` is this contract on a real kernel, `host.fake` the same in memory; tests/contract holds the two against each
other. Whatever a call is refused raises KernelRefused (with errno), IoFailure, ToolMissing or InvalidNetns, never an
exception of the library underneath.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from linkspan.cni.model import Attachment
from linkspan.netfilter.rules import Change, Element, Family, Flow, NftChange


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


class Iptables(Protocol):
    """The reference-shaped rules. A change of one table of one family is one transaction."""

    def usable(self, family: Family) -> bool:
        """Whether the tool (or library) for this family is there and the kernel answers."""

    def readable(self, family: Family, table: str) -> bool:
        """Whether the table is one of iptables', as it is before anybody used it; `nft` makes others of the same name.

        That it is may be remembered.
        """

    def apply(self, family: Family, table: str, change: Change) -> None:
        """Carry out a change atomically, safe against other writers. Absent things to remove are fine."""

    def apply_all(self, family: Family, changes: Mapping[str, Change]) -> None:
        """The same for several tables (name -> change), in order: each is atomic, not all together."""

    def rules(self, family: Family, table: str) -> Mapping[str, tuple[str, ...]]:
        """Every chain of the table with its rules, each as iptables-save prints it without the leading `-A CHAIN `."""

    def policy(self, family: Family, table: str, chain: str) -> str:
        """What becomes of a packet at the end of a built-in chain: "ACCEPT" or "DROP"."""


class Nftables(Protocol):
    """Our own table, `inet linkspan`, and what others of our kind left in theirs. One `apply` is one atomic transaction."""

    def usable(self) -> bool:
        """Whether libnftables is there and the kernel answers."""

    def apply(self, change: NftChange) -> None:
        """Carry out a change atomically: commands first, then removals (absent is fine), then additions."""

    def element(self, name: str, key: tuple[str, ...]) -> Element | None:
        """One element of a set or map of ours, or None (also when there is no such set, or no table)."""

    def elements(self, name: str) -> tuple[Element, ...]:
        """All elements of a set or map of ours; empty when there is no such set."""

    def chain(self, name: str) -> tuple[str, ...] | None:
        """The rules of a chain of ours as nft prints them, without handles; None when there is no such chain.

        For people and tests: the cost grows with all that the table holds.
        """

    def count(self, chain: str) -> int:
        """How many rules a chain of ours has, 0 also when there is no such chain. The cost depends on nothing else."""

    def delete_rules(self, table: str, chain: str, chosen: Callable[[str], bool]) -> None:
        """Delete those rules of another's chain that are chosen, by what nft prints of them; `table` is family and name.

        Absent things are fine.
        """


class Conntrack(Protocol):
    """The kernel's table of flows."""

    def flush(self, flows: Iterable[Flow]) -> int:
        """Forget the flows that match; how many went. 0 where the kernel keeps no such table."""


class Files(Protocol):
    """Files and locks. Paths are absolute. Errors other than "absent" raise IoFailure naming the path."""

    def read(self, path: str) -> bytes | None:
        """The content of a regular file, or None if absent. Symbolic links are not followed below our own folders."""

    def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """Replace a file whole: written aside, then renamed. Parent folders are made (0700)."""

    def create(self, path: str, data: bytes, *, mode: int = 0o600, aside: str) -> bool:
        """Make a file appear complete or not at all: written in folder `aside`, then linked. False if `path` exists."""

    def remove(self, path: str) -> bool:
        """Remove a file; False if absent."""

    def remove_folder(self, path: str) -> bool:
        """Remove an empty folder; False if it is absent or not empty."""

    def names(self, folder: str) -> tuple[str, ...]:
        """The sorted names in a folder; empty if it is absent."""

    def can_write(self, folder: str) -> bool:
        """Whether files could be made in a folder, or, while it is absent, in the nearest one above it that is there."""

    def stamp(self, path: str) -> tuple[int, int] | None:
        """(inode, ctime in ns) of a file, or None if absent: changes whenever the file is written, linked or replaced."""

    def make_folder(self, path: str, *, mode: int = 0o700) -> None:
        """Make a folder and its parents; one that is there stays as it is."""

    def lock(self, path: str, *, mode: int = 0o600) -> AbstractContextManager[None]:
        """Hold an exclusive flock(2) on a file that is made if absent and stays. The kernel frees it if we die."""

    def lock_attachment(self, plugin: str, attachment: Attachment) -> AbstractContextManager[None]:
        """Exclude other verbs of one plugin on one attachment. Inherited by programs we start, so it outlives our death."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that ended: its exit status and what it wrote to stdout. stderr went to the caller's."""

    status: int
    stdout: bytes


class Processes(Protocol):
    """Other programs."""

    def find(self, name: str, folders: Sequence[str]) -> str | None:
        """The first regular file of that name, symbolic links followed, in the folders in order."""

    def run(
        self, argv: Sequence[str], *, stdin: bytes, env: Mapping[str, str], cwd: str, merged: bool = False
    ) -> Finished:
        """Run to its end. A busy executable (ETXTBSY) is retried; an absent one raises ToolMissing.

        With `merged` the program's stderr is part of its stdout.
        """


class Host(Protocol):
    """One call's view of the host. `close` gives back every descriptor of a container's namespace."""

    @property
    def iptables(self) -> Iptables: ...

    @property
    def nftables(self) -> Nftables: ...

    @property
    def conntrack(self) -> Conntrack: ...

    @property
    def files(self) -> Files: ...

    @property
    def processes(self) -> Processes: ...

    @property
    def state_dir(self) -> str:
        """/run/linkspan/<cookie of our network namespace>: what cannot outlive this boot and this namespace."""

    @property
    def boot(self) -> str:
        """What tells this boot and this network namespace from every other: "<boot id> <namespace cookie>"."""

    def links(self, netns: str = "") -> Links:
        """The links of the host, or of the namespace at a path.

        Raises NetnsGone if the path is empty-but-asked-for or absent, InvalidNetns if it is no network namespace.
        """

    def same_netns(self, netns: str) -> bool:
        """Whether a path is the namespace we run in. False when it is gone."""

    def listening(self, protocol: str, ports: Collection[int]) -> frozenset[int]:
        """Those among the ports ("tcp", "udp", "sctp") on which a process of the host waits, on whatever address."""

    def warn(self, message: str) -> None:
        """Tell the caller something on its stderr, one line."""

    def close(self) -> None:
        """Close what this call opened, and only that: warm sockets of the host's own namespace stay."""
