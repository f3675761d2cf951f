"""The gateway's addresses, and forwarding."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cni_bridge.steps.addresses import add_address
from linkspan.call.transaction import Undo, attempt, carry_out, keep
from linkspan.cni.addresses import bridge_mac, without_prefix
from linkspan.cni.errors import InvalidConfig
from linkspan.steps.sysctls import harden, require

if TYPE_CHECKING:
    from linkspan.host.contract import Host, Links

#: The sysctl that has the host route packets of a family.
_FORWARDING = {4: "ipv4/ip_forward", 6: "ipv6/conf/all/forwarding"}

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
_PURPOSE = "packets of containers are to be forwarded"


@dataclass(frozen=True, slots=True)
class AssignGateway:
    """Assign the gateways' addresses (CIDR) to `link`, which is the bridge or its link in a VLAN.

    `port` is the attachment's. `force` replaces conflicting addresses, which otherwise are an error, unless
    the bridge is one that we made and has no other port: then its list was edited since. An IPv4 address in
    another of the network's `subnets` is the gateway of its containers there, and no conflict.
    """

    link: str
    gateways: tuple[str, ...]
    bridge: str
    port: str
    force: bool = False
    subnets: tuple[str, ...] = ()

    def do(self, host: Host) -> Undo:
        found = host.links().addresses(self.link, link_local=True)
        present = [ipaddress.ip_interface(each) for each in found]
        outdated = self._outdated(present)
        if outdated and not self.force and not _is_abandoned(host.links(), self.bridge, self.port):
            gateways = ", ".join(self.gateways)
            raise InvalidConfig(
                f"$.bridge: {self.link} already has the address {outdated[0]}, not {gateways}",
                "name another bridge, use that subnet, or set forceAddress to replace the address",
            )
        removals = (
            ChangeGatewayAddress(self.link, each, self.bridge, self.port, present=False) for each in outdated
        )
        return carry_out((*removals, *self._additions(present)), host)

    def missing(self, host: Host) -> list[str]:
        """The gateways' addresses that the link does not have, as sentences."""
        present = {without_prefix(each) for each in host.links().addresses(self.link)}
        return [
            f"{self.link} is missing the gateway address {each}"
            for each in sorted({without_prefix(each) for each in self.gateways} - present)
        ]

    def _outdated(self, present: list[Interface]) -> list[str]:
        """The addresses that cannot be on the link together with the gateways'."""
        gateways = [ipaddress.ip_interface(each) for each in self.gateways]
        return [
            str(each)
            for each in present
            if each not in gateways and any(self._conflict(each, gateway) for gateway in gateways)
        ]

    def _additions(self, present: list[Interface]) -> Iterator[ChangeGatewayAddress]:
        for each in self.gateways:
            if ipaddress.ip_interface(each) not in present:
                yield ChangeGatewayAddress(self.link, each, self.bridge, self.port)

    def _conflict(self, present: Interface, gateway: Interface) -> bool:
        """Whether both cannot be on the link: two addresses of one subnet, or IPv4 addresses of two
        networks.
        """
        if present.version != gateway.version or present.is_link_local:
            return False
        if present.ip in gateway.network:
            return True
        return present.version == 4 and str(present.network) not in self.subnets


@dataclass(frozen=True, slots=True)
class ChangeGatewayAddress:
    """Add an address to the gateway's link, or remove it; undone as long as the bridge has no port but ours.

    After a first ADD that failed the list may be corrected, and the old gateway must not conflict.
    """

    link: str
    address: str
    bridge: str
    port: str
    present: bool = True

    def do(self, host: Host) -> Undo:
        links = host.links()
        return attempt(host, lambda: self._set(links, present=self.present), lambda: self._revert(links))

    def _set(self, links: Links, *, present: bool) -> None:
        if present:
            add_address(links, self.link, self.address)
        else:
            links.delete_address(self.link, self.address)

    def _revert(self, links: Links) -> None:
        if _is_shared(links, self.bridge, self.port):
            return
        self._set(links, present=not self.present)
        # A port that joined between the check and the change relies on the gateway.
        if _is_shared(links, self.bridge, self.port):
            self._set(links, present=self.present)


def _is_shared(links: Links, bridge: str, port: str) -> bool:
    """Whether a bridge has other ports than one."""
    found = links.get(bridge)
    ports = links.all(master=found.index) if found is not None else ()
    return any(each.name != port for each in ports)


def _is_abandoned(links: Links, bridge: str, port: str) -> bool:
    """Whether we made a bridge, as its MAC address shows, and it has no port but the attachment's."""
    found = links.get(bridge)
    return found is not None and found.mac == bridge_mac(bridge) and not _is_shared(links, bridge, port)


@dataclass(frozen=True, slots=True)
class EnableForwarding:
    """Enable routing on the host for these families. Shared: never undone."""

    families: tuple[int, ...]

    def do(self, host: Host) -> Undo:
        links = host.links()
        if 4 in self.families:
            require(links, _FORWARDING[4], "1", _PURPOSE)
        if 6 in self.families and links.sysctl(_FORWARDING[6]) == "0":
            # A router ignores router advertisements unless accept_ra is 2; the host keeps its default route.
            for link in links.all():
                if links.sysctl(f"ipv6/conf/{link.name}/accept_ra") == "1":
                    harden(host, links, f"ipv6/conf/{link.name}/accept_ra", "2")
            require(links, _FORWARDING[6], "1", _PURPOSE)
        return keep

    def missing(self, host: Host) -> list[str]:
        """The sysctls that keep the host from routing, as sentences."""
        links = host.links()
        return [
            f"the host does not route IPv{family}: net.{key.replace('/', '.')} is 0"
            for family, key in _FORWARDING.items()
            if family in self.families and links.sysctl(key) == "0"
        ]
