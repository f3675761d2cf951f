"""The veth pair and its bridge port. The settings of the port are removed with the pair."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cni_bridge.config import VlanRange
from cni_bridge.steps.links import create
from linkspan.call.transaction import Undo, keep
from linkspan.cni.errors import AlreadyAttached
from linkspan.host.contract import PortVlans
from linkspan.steps.sysctls import harden

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host, Links


@dataclass(frozen=True, slots=True)
class CreatePair:
    """Create the veth pair, with its other end in the container from the start."""

    attachment: Attachment
    netns: str
    mac: str
    mtu: int

    def do(self, host: Host) -> Undo:
        links = host.links()
        undo = create(host, lambda: self._create(links), lambda: remove_pair(host, self.attachment))
        if undo is None:
            raise ifname_taken(self.attachment, self.netns)
        return undo

    def _create(self, links: Links) -> None:
        links.create_veth(
            self.attachment.host_veth,
            mac=self.attachment.host_mac,
            peer=self.attachment.ifname,
            peer_mac=self.mac,
            peer_netns=self.netns,
            mtu=self.mtu,
        )


@dataclass(frozen=True, slots=True)
class JoinBridge:
    """Make the host end a port of the bridge and set it up."""

    name: str
    bridge: str
    hairpin: bool = False
    isolated: bool = False

    def do(self, host: Host) -> Undo:
        links = host.links()
        harden(host, links, f"ipv6/conf/{self.name}/accept_ra", "0")
        links.change(self.name, master=self.bridge, up=True)
        if self.hairpin or self.isolated:
            links.change_port(self.name, hairpin=self.hairpin or None, isolated=self.isolated or None)
        return keep

    def missing(self, host: Host) -> list[str]:
        """What of it is not so, as sentences."""
        links = host.links()
        bridge, port = links.get(self.bridge), links.get(self.name)
        if port is None:
            return [f"the host end {self.name} is missing"]
        if bridge is None or port.master != bridge.index:
            return [f"{self.name} is not a port of {self.bridge}"]
        # portmap may have enabled hairpin mode, and firewall port isolation.
        expected = [
            (port.up, "is down"),
            (port.hairpin or not self.hairpin, "has hairpin mode off"),
            (port.isolated or not self.isolated, "has port isolation off"),
        ]
        return [f"{self.name} {problem}" for as_expected, problem in expected if not as_expected]


@dataclass(frozen=True, slots=True)
class SetVlans:
    """Set the VLANs of the host end; those that the bridge gave to it are removed unless `keep_default`."""

    name: str
    untagged: int
    tagged: tuple[VlanRange, ...]
    keep_default: bool = False

    def do(self, host: Host) -> Undo:
        links = host.links()
        for each in () if self.keep_default else links.vlans(self.name):
            links.delete_vlans(self.name, each)
        for each in port_vlans(self.untagged, self.tagged):
            links.add_vlans(self.name, each)
        return keep

    def missing(self, host: Host) -> list[str]:
        """The VLANs that the port does not have, as sentences."""
        present = host.links().vlans(self.name)
        return [
            f"{self.name} has no VLAN {each.first}"
            for each in port_vlans(self.untagged, self.tagged)
            if not any(_contains(run, each) for run in present)
        ]


def port_vlans(untagged: int, tagged: Iterable[VlanRange]) -> tuple[PortVlans, ...]:
    """The VLANs of a port as the host names them, the untagged one first."""
    return (PortVlans(untagged, untagged, untagged=True), *(PortVlans(*each) for each in tagged))


def _contains(run: PortVlans, vlans: PortVlans) -> bool:
    """Whether `vlans` are part of a run that the kernel reports; it joins adjacent ones."""
    return run.first <= vlans.first and vlans.last <= run.last and run.untagged == vlans.untagged


def remove_pair(host: Host, attachment: Attachment, *, recorded: bool = False) -> None:
    """Delete the attachment's pair if the record of ADD (`recorded`) or its MAC address proves it ours."""
    links = host.links()
    link = links.get(attachment.host_veth)
    if link is not None and (recorded or link.mac == attachment.host_mac):
        links.delete(attachment.host_veth)


def ifname_taken(attachment: Attachment, netns: str) -> AlreadyAttached:
    """The error for an interface name that exists in the container."""
    return AlreadyAttached(
        f"the container already has an interface {attachment.ifname}",
        f"in {netns}; choose another CNI_IFNAME, or DEL the attachment that created it",
    )
