"""A link as the kernel keeps it, and what the contract shows of it."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from linkspan.cni.errors import KernelRefused
from linkspan.host.contract import Link, PortVlans

_MIN_MTU, _MAX_MTU = 68, 65535  # linux/if_ether.h ETH_MIN_MTU, ETH_MAX_MTU
_NAME_MAX = 15  # linux/if.h IFNAMSIZ without its NUL
#: A bridge's default_pvid, which it and every port have at first.
DEFAULT_VLANS = {1: True}


class Namespace(Protocol):
    """The network namespace that a link is in, as far as the link asks it."""

    knows_vlans: bool

    def ports(self, bridge: Device) -> Iterable[Device]:
        """The links on a bridge."""

    def default_vlans(self) -> dict[int, bool]:
        """The VLANs of a new port."""

    def drop(self, device: Device) -> None:
        """Forget a link."""


@dataclass(slots=True, eq=False)
class Device:
    """`peer` is a veth's other end, `master` the bridge it is a port of, `below` the link that a VLAN link
    is on top of.

    `vlans` maps each VLAN to whether it is sent untagged.
    """

    home: Namespace
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
    master: Device | None = None
    peer: Device | None = None
    below: Device | None = None
    addresses: list[str] = field(default_factory=list)
    vlan_filtering: bool = False
    vlans: dict[int, bool] = field(default_factory=dict)

    @property
    def has_carrier(self) -> bool:
        """Whether its operational state is up."""
        if self.kind == "bridge":
            return self.up and any(each.has_carrier for each in self.home.ports(self))
        if self.below is not None:
            return self.up and self.below.up
        return self.peer is not None and self.up and self.peer.up

    def as_link(self) -> Link:
        """What the contract shows of it."""
        other_end = self.peer or self.below  # both are the IFLA_LINK of the kernel
        filters = self.kind == "bridge" and self.home.knows_vlans
        return Link(
            index=self.index,
            name=self.name,
            kind=self.kind,
            mac=self.mac,
            mtu=self.mtu,
            up=self.up,
            carrier=self.has_carrier,
            lower_up=self.has_carrier,
            master=self.master.index if self.master else 0,
            peer=other_end.index if other_end else 0,
            promiscuity=int(self.promisc) + (self.master is not None),
            hairpin=self.hairpin,
            isolated=self.isolated,
            promisc=self.promisc,
            allmulti=self.allmulti,
            txqlen=self.txqlen,
            vlan_filtering=self.vlan_filtering if filters else None,
        )

    def enslave(self, bridge: Device | None) -> None:
        """Become a port of a bridge, or of none; a port's flags and VLANs are those of a new one."""
        self.master, self.hairpin, self.isolated = bridge, False, False
        self.vlans = self.home.default_vlans() if bridge is not None else {}


def vlan_ranges(vlans: dict[int, bool]) -> tuple[PortVlans, ...]:
    """VLANs in order, neighbouring ones that are alike as one."""
    ranges: list[PortVlans] = []
    for vlan, untagged in sorted(vlans.items()):
        if ranges and (ranges[-1].last, ranges[-1].untagged) == (vlan - 1, untagged):
            ranges[-1] = replace(ranges[-1], last=vlan)
        else:
            ranges.append(PortVlans(vlan, vlan, untagged))
    return tuple(ranges)


def check_name(name: str, taken: Iterable[str], request: str) -> None:
    """Refuse a name that the kernel refuses (dev_valid_name), or that is taken."""
    if len(name.encode(errors="replace")) > _NAME_MAX:
        raise KernelRefused(request, errno.ERANGE)
    if name in ("", ".", "..") or any(
        each in "/:\0" or each.isspace() or "\ud800" <= each <= "\udfff" for each in name
    ):
        raise KernelRefused(request, errno.EINVAL)
    if name in taken:
        raise KernelRefused(request, errno.EEXIST)


def checked_mtu(mtu: int, request: str) -> int:
    """An MTU that the kernel accepts."""
    if not _MIN_MTU <= mtu <= _MAX_MTU:
        raise KernelRefused(request, errno.EINVAL)
    return mtu


def generated_mac(index: int) -> str:
    """A MAC address for a link that is created without one."""
    return f"06:00:00:00:{index >> 8 & 255:02x}:{index & 255:02x}"
