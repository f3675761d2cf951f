"""What an attachment needs of the host, one request each, each with its undo."""

from __future__ import annotations

import errno
import ipaddress
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha512
from typing import TYPE_CHECKING, Any

from linkspan.call.records import Records
from linkspan.call.transaction import Transaction, Undo, carry_out, keep
from linkspan.cni.addresses import FAMILIES, local_mac
from linkspan.cni.errors import AlreadyAttached, InvalidConfig, KernelRefused, NetnsGone, UnsupportedField
from linkspan.cni.model import Address, Attachment, Route
from linkspan.host.contract import PortVlans

if TYPE_CHECKING:
    from linkspan.host.contract import Host, Link, Links

PLUGIN = "bridge"
#: Seconds that the kernel may take to tell that both ends of a pair are up; it needs a millisecond.
CARRIER_PATIENCE = 1.0
#: Seconds for the kernel to look for duplicates of IPv6 addresses; it takes between one and two.
DUPLICATES_PATIENCE = 5.0
_NO_VLANS = (
    "$.vlan, $.vlanTrunk: the bridges of this kernel know no VLANs",
    "use a kernel with CONFIG_BRIDGE_VLAN_FILTERING, or leave both keys out",
)


@dataclass(frozen=True, slots=True)
class EnsureBridge:
    """A bridge of that name that is up. Shared: never undone."""

    name: str
    mtu: int
    promisc: bool = False
    vlan_filtering: bool = False

    def do(self, host: Host) -> Undo:
        with Transaction(host) as transaction:
            self._ensure(host, transaction)
        return keep

    def _ensure(self, host: Host, transaction: Transaction) -> None:
        links = host.links()
        link = links.get(self.name) or self._created(links, transaction)
        if link.kind != "bridge":
            raise InvalidConfig(
                f"$.bridge: {self.name} already exists but is not a bridge (it is a {link.kind or 'device'})",
                "name another bridge, or remove that link",
            )
        if self.vlan_filtering:
            self._see_to_vlans(host, link)
        if not link.up or (self.promisc and not link.promiscuity):
            links.change(self.name, up=True, promisc=True if self.promisc else None)

    def _see_to_vlans(self, host: Host, link: Link) -> None:
        if link.vlan_filtering is None:
            raise UnsupportedField(*_NO_VLANS)
        if not link.vlan_filtering:
            host.warn(
                f"$.vlan: the bridge {self.name} was made without VLAN filtering; its VLANs are not kept apart"
            )

    def _created(self, links: Links, transaction: Transaction) -> Link:
        if self._create(links):
            # Half of a new bridge would be taken for a whole one by the next ADD.
            transaction.on_failure(lambda: self._delete_unless_joined(links))
        # The host takes no advice from containers: rogue router advertisements end here (CVE-2020-10749).
        links.set_sysctl(f"ipv6/conf/{self.name}/accept_ra", "0")
        # Its link-local address is usable at once: while it is tentative the kernel solicits no neighbour for others.
        links.set_sysctl(f"ipv6/conf/{self.name}/accept_dad", "0")
        link = links.get(self.name)
        if link is None:
            raise KernelRefused(f"find the bridge {self.name} that was just created", errno.ENODEV)
        return link

    def _create(self, links: Links) -> bool:
        """Whether it was us: another ADD may have been quicker."""
        # A MAC of its own, so that the bridge does not take that of its lowest port, which changes with the containers.
        mac = local_mac(sha512(f"bridge\0{self.name}".encode()).hexdigest())
        try:
            links.create_bridge(self.name, mac=mac, mtu=self.mtu, vlan_filtering=self.vlan_filtering)
        except KernelRefused as error:
            if self.vlan_filtering and error.errno == errno.EOPNOTSUPP:
                raise UnsupportedField(*_NO_VLANS) from None
            if error.errno != errno.EEXIST:
                raise
            return False
        return True

    def _delete_unless_joined(self, links: Links) -> None:
        link = links.get(self.name)
        if link is not None and not links.all(master=link.index):
            links.delete(self.name)


@dataclass(frozen=True, slots=True)
class WriteRecord:
    """What DEL, GC and a reload need when they are told nothing."""

    attachment: Attachment
    record: Mapping[str, Any]

    def do(self, host: Host) -> Undo:
        records = Records(host, PLUGIN)
        records.write(self.attachment, dict(self.record))
        return lambda: records.remove(self.attachment)


@dataclass(frozen=True, slots=True)
class MakePair:
    """The veth pair, with its other end in the container from the start."""

    attachment: Attachment
    netns: str
    mac: str
    mtu: int

    def do(self, host: Host) -> Undo:
        name = self.attachment.host_veth
        try:
            host.links().create_veth(
                name,
                mac=self.attachment.host_mac,
                peer=self.attachment.ifname,
                peer_mac=self.mac,
                peer_netns=self.netns,
                mtu=self.mtu,
            )
        except KernelRefused as error:
            if error.errno != errno.EEXIST:
                raise
            raise AlreadyAttached(*_name_taken(self.attachment.ifname, self.netns)) from None
        return lambda: remove_pair(host, self.attachment)


@dataclass(frozen=True, slots=True)
class JoinBridge:
    """The host's end as an up port of the bridge; undone with the pair."""

    name: str
    bridge: str
    hairpin: bool = False
    isolated: bool = False

    def do(self, host: Host) -> Undo:
        links = host.links()
        links.set_sysctl(f"ipv6/conf/{self.name}/accept_ra", "0")
        links.change(self.name, master=self.bridge, up=True)
        if self.hairpin or self.isolated:
            links.change_port(self.name, hairpin=self.hairpin or None, isolated=self.isolated or None)
        return keep


@dataclass(frozen=True, slots=True)
class SetVlans:
    """The VLANs of the host's end; undone with the pair. What the bridge gave the port goes, unless told to keep it."""

    name: str
    vlans: tuple[PortVlans, ...]
    keep_default: bool = False

    def do(self, host: Host) -> Undo:
        links = host.links()
        for each in () if self.keep_default else links.vlans(self.name):
            links.delete_vlans(self.name, each)
        for each in self.vlans:
            links.add_vlans(self.name, each)
        return keep


@dataclass(frozen=True, slots=True)
class EnsureVlanLink:
    """The bridge's own link in a VLAN, up. Shared: never undone."""

    name: str
    bridge: str
    vlan: int

    def do(self, host: Host) -> Undo:
        links = host.links()
        links.add_vlans(self.bridge, PortVlans(self.vlan, self.vlan), on_bridge=True)
        with Transaction(host) as transaction:
            if links.get(self.name) is None and self._create(links):
                transaction.on_failure(lambda: links.delete(self.name))
            # As on the bridge itself: router advertisements of containers end here.
            links.set_sysctl(f"ipv6/conf/{self.name}/accept_ra", "0")
            links.change(self.name, up=True)
        return keep

    def _create(self, links: Links) -> bool:
        """Whether it was us: another ADD may have been quicker."""
        try:
            links.create_vlan(self.name, link=self.bridge, vlan=self.vlan)
        except KernelRefused as error:
            if error.errno != errno.EEXIST:
                raise
            return False
        return True


@dataclass(frozen=True, slots=True)
class Furnish:
    """The container's side: up, addresses, routes; usable when this returns. Undone with the pair."""

    netns: str
    ifname: str
    addresses: tuple[Address, ...]
    routes: tuple[Route, ...]
    nodad: bool = True

    def do(self, host: Host) -> Undo:
        links = host.links(self.netns)
        if any(each.family == 6 for each in self.addresses):
            # IPAM's addresses and routes are the only ones: advertisements of whoever is on the bridge add none.
            for key, value in (("disable_ipv6", "0"), ("accept_ra", "0"), ("autoconf", "0")):
                links.set_sysctl(f"ipv6/conf/{self.ifname}/{key}", value)
        if self.nodad:
            links.set_sysctl(f"ipv6/conf/{self.ifname}/accept_dad", "0")
        links.change(self.ifname, up=True)
        for address in self.addresses:
            links.add_address(self.ifname, address.address, nodad=self.nodad)
        for route in self.routes:
            self._add(links, route)
        self._await_carrier(links)
        if not self.nodad:
            self._await_addresses(links)
        if self.addresses:
            # Whoever had these addresses before had another MAC, perhaps, which neighbours remember.
            links.announce(self.ifname)
        return keep

    def _add(self, links: Links, route: Route) -> None:
        links.add_route(
            route.dst,
            ifname=self.ifname,
            gw=route.gw,
            mtu=route.mtu,
            advmss=route.advmss,
            priority=route.priority,
            table=route.table,
            scope=route.scope,
        )

    def _await_carrier(self, links: Links) -> None:
        deadline = time.monotonic() + CARRIER_PATIENCE
        while time.monotonic() < deadline:
            link = links.get(self.ifname)
            if link is None or link.carrier:
                return
            time.sleep(0.001)

    def _await_addresses(self, links: Links) -> None:
        """With `enabledad`: the kernel tells whether somebody else has one of the addresses (RFC 4862, 5.4)."""
        deadline = time.monotonic() + DUPLICATES_PATIENCE
        while waiting := links.unsettled_addresses(self.ifname):
            failed = [each for each, is_duplicate in waiting.items() if is_duplicate]
            if failed or time.monotonic() > deadline:
                raise AlreadyAttached(
                    f"the address {(failed or list(waiting))[0]} is in use by somebody else on this network",
                    "take the container with that address away, or ask for another one",
                )
            time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class BeGateway:
    """The gateways' addresses (CIDR) on `link`, which is the bridge or its link in a VLAN; `port` is the attachment's."""

    link: str
    gateways: tuple[str, ...]
    bridge: str
    port: str
    force: bool = False

    def do(self, host: Host) -> Undo:
        links = host.links()
        present = links.addresses(self.link)
        wanted = {ipaddress.ip_interface(each) for each in self.gateways}
        for text in present:
            if self._is_in_the_way(ipaddress.ip_interface(text), wanted):
                self._replace(links, text)
        missing = wanted - {ipaddress.ip_interface(each) for each in present}
        return carry_out(
            (GatewayAddress(self.link, str(each), self.bridge, self.port) for each in missing), host
        )

    def _is_in_the_way(
        self,
        present: ipaddress.IPv4Interface | ipaddress.IPv6Interface,
        wanted: set[ipaddress.IPv4Interface | ipaddress.IPv6Interface],
    ) -> bool:
        """Another IPv4 address of the link, or an IPv6 one inside a subnet that gets a gateway."""
        same_family = [each for each in wanted if each.version == present.version]
        if not same_family or present in wanted:
            return False
        return present.version == 4 or any(present.ip in each.network for each in same_family)

    def _replace(self, links: Links, text: str) -> None:
        if not self.force:
            raise InvalidConfig(
                f"$.bridge: {self.link} already has the address {text}, not {', '.join(self.gateways)}",
                "name another bridge, use that subnet, or set forceAddress to replace the address",
            )
        links.delete_address(self.link, text)


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """One address that the link lacked. Undone while the bridge has no port but ours.

    Else a list that is corrected after its first ADD failed would find the old gateway in its way.
    """

    link: str
    address: str
    bridge: str
    port: str

    def do(self, host: Host) -> Undo:
        host.links().add_address(self.link, self.address)
        return lambda: self._withdraw(host.links())

    def _withdraw(self, links: Links) -> None:
        if self._is_shared(links):
            return
        links.delete_address(self.link, self.address)
        # Who joined between the look and the deletion takes the address for granted.
        if self._is_shared(links):
            links.add_address(self.link, self.address)

    def _is_shared(self, links: Links) -> bool:
        bridge = links.get(self.bridge)
        ports = links.all(master=bridge.index) if bridge is not None else ()
        return any(each.name != self.port for each in ports)


@dataclass(frozen=True, slots=True)
class Forward:
    """Let the host route for these families. Shared: never undone."""

    families: tuple[int, ...]

    def do(self, host: Host) -> Undo:
        links = host.links()
        if 4 in self.families:
            links.set_sysctl("ipv4/ip_forward", "1")
        if 6 in self.families and links.sysctl("ipv6/conf/all/forwarding") == "0":
            # A router ignores advertisements unless told twice (accept_ra 2): the host keeps its own way out.
            for link in links.all():
                if links.sysctl(f"ipv6/conf/{link.name}/accept_ra") == "1":
                    links.set_sysctl(f"ipv6/conf/{link.name}/accept_ra", "2")
            links.set_sysctl("ipv6/conf/all/forwarding", "1")
        return keep


def refuse_second(host: Host, attachment: Attachment, netns: str) -> None:
    """Raise AlreadyAttached when the attachment, or another interface of its name, is there: before anything is reserved."""
    if host.links().get(attachment.host_veth) is not None:
        raise AlreadyAttached(
            f"{attachment.ifname} of container {attachment.container_id[:24]} is attached already",
            f"{attachment} has the link {attachment.host_veth}; DEL it first",
        )
    if host.links(netns).get(attachment.ifname) is not None:
        raise AlreadyAttached(*_name_taken(attachment.ifname, netns))


def _name_taken(ifname: str, netns: str) -> tuple[str, str]:
    return (
        f"the container already has an interface {ifname}",
        f"in {netns}; give CNI_IFNAME another name, or DEL the attachment that made it",
    )


def remove_pair(host: Host, attachment: Attachment, *, recorded: bool = False) -> None:
    """Delete the attachment's pair, if the link of its name bears its MAC or ADD's record is there: else it is not ours."""
    links = host.links()
    link = links.get(attachment.host_veth)
    if link is not None and (recorded or link.mac == attachment.host_mac):
        links.delete(attachment.host_veth)


def default_metrics(host: Host, netns: str) -> dict[int, int]:
    """The highest metric among the default routes of a container's main table, by family that has any. Raises NetnsGone."""
    links = host.links(netns)
    metrics = {
        family: [each.priority for each in links.routes(family) if each.dst.endswith("/0")]
        for family in FAMILIES
    }
    return {family: max(found) for family, found in metrics.items() if found}


def links_of(host: Host, attachment: Attachment, bridge: str, netns: str) -> tuple[Link, Link, Link]:
    """What was made, as the kernel has it. Raises NetnsGone if the container went away meanwhile."""
    found = (
        host.links().get(bridge),
        host.links().get(attachment.host_veth),
        host.links(netns).get(attachment.ifname),
    )
    outer, outside, inside = found
    if outer is None or outside is None or inside is None:
        raise NetnsGone(
            f"the interface {attachment.ifname} went away while it was set up", f"CNI_NETNS is {netns}"
        )
    return outer, outside, inside
