"""The bridge, and its links in VLANs. Attachments share both, so neither is ever removed."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cni_bridge.steps.addresses import enable_ipv6
from cni_bridge.steps.links import create
from linkspan.call.transaction import Transaction, Undo, keep
from linkspan.cni.addresses import bridge_mac
from linkspan.cni.errors import InvalidConfig, KernelRefused, UnsupportedField
from linkspan.host.contract import PortVlans
from linkspan.steps.sysctls import harden

if TYPE_CHECKING:
    from linkspan.host.contract import Host, Link, Links

_NO_VLANS = (
    "$.vlan, $.vlanTrunk: this kernel does not support bridge VLAN filtering",
    "use a kernel with CONFIG_BRIDGE_VLAN_FILTERING, or remove both keys",
)


@dataclass(frozen=True, slots=True)
class EnsureBridge:
    """Ensure that a bridge of that name exists and is up.

    With `ipv6` one that is created can have IPv6 addresses, also on a host that has IPv6 switched off.
    """

    name: str
    mtu: int
    promisc: bool = False
    vlan_filtering: bool = False
    ipv6: bool = False

    def do(self, host: Host) -> Undo:
        links = host.links()
        # An incomplete new bridge would be taken for a complete one by the next ADD.
        with Transaction(host) as transaction:
            link = links.get(self.name) or self._created(host, transaction)
            self._refuse_unsuitable(link)
            if self.vlan_filtering and not link.vlan_filtering:
                host.warn(
                    f"$.vlan: the bridge {self.name} was created without VLAN filtering; "
                    "its VLANs are not separated"
                )
            if not link.up or (self.promisc and not link.promiscuity):
                links.change(self.name, up=True, promisc=True if self.promisc else None)
        return keep

    def missing(self, host: Host) -> list[str]:
        """What of it is not there, as sentences."""
        link = host.links().get(self.name)
        if link is None:
            return [f"the bridge {self.name} is missing"]
        found = [] if link.up else [f"the bridge {self.name} is down"]
        if self.promisc and not link.promisc:
            found.append(f"the bridge {self.name} is not promiscuous")
        return found

    def _refuse_unsuitable(self, link: Link) -> None:
        if link.kind != "bridge":
            raise InvalidConfig(
                f"$.bridge: {self.name} already exists but is not a bridge (it is a {link.kind or 'device'})",
                "name a bridge, or a link that does not exist yet",
            )
        if self.vlan_filtering and link.vlan_filtering is None:
            raise UnsupportedField(*_NO_VLANS)

    def _created(self, host: Host, transaction: Transaction) -> Link:
        links = host.links()
        undo = create(host, lambda: self._create(links), lambda: self._delete_unless_joined(links))
        if undo is not None:
            transaction.on_failure(undo)
        # The host ignores router advertisements of containers (CVE-2020-10749).
        harden(host, links, f"ipv6/conf/{self.name}/accept_ra", "0")
        # Its link-local address is usable at once: while it is tentative the kernel solicits no neighbour.
        harden(host, links, f"ipv6/conf/{self.name}/accept_dad", "0")
        if self.ipv6:
            enable_ipv6(links, self.name)
        link = links.get(self.name)
        if link is None:
            raise KernelRefused(f"find the bridge {self.name} that was just created", errno.ENODEV)
        return link

    def _create(self, links: Links) -> None:
        # With a MAC address of its own the bridge does not take that of its lowest port, which changes.
        mac = bridge_mac(self.name)
        try:
            links.create_bridge(self.name, mac=mac, mtu=self.mtu, vlan_filtering=self.vlan_filtering)
        except KernelRefused as error:
            if self.vlan_filtering and error.errno == errno.EOPNOTSUPP:
                raise UnsupportedField(*_NO_VLANS) from None
            raise

    def _delete_unless_joined(self, links: Links) -> None:
        link = links.get(self.name)
        if link is not None and not links.all(master=link.index):
            links.delete(self.name)


@dataclass(frozen=True, slots=True)
class EnsureVlanLink:
    """Ensure that the bridge's own link in a VLAN exists and is up."""

    name: str
    bridge: str
    vlan: int
    ipv6: bool = False

    def do(self, host: Host) -> Undo:
        links = host.links()
        links.add_vlans(self.bridge, PortVlans(self.vlan, self.vlan), on_bridge=True)
        with Transaction(host) as transaction:
            if links.get(self.name) is None:
                self._create(host, transaction)
            # As on the bridge itself.
            harden(host, links, f"ipv6/conf/{self.name}/accept_ra", "0")
            links.change(self.name, up=True)
        return keep

    def missing(self, host: Host) -> list[str]:
        """Whether it is missing or down, as a sentence."""
        link = host.links().get(self.name)
        if link is None:
            return [f"the link {self.name} is missing"]
        return [] if link.up else [f"the link {self.name} is down"]

    def _create(self, host: Host, transaction: Transaction) -> None:
        links = host.links()
        undo = create(
            host,
            lambda: links.create_vlan(self.name, link=self.bridge, vlan=self.vlan),
            lambda: links.delete(self.name),
        )
        if undo is not None:
            transaction.on_failure(undo)
        if self.ipv6:
            enable_ipv6(links, self.name)
