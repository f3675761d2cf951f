"""The gateway's addresses, and forwarding."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from linkspan.call.transaction import Undo, attempt, carry_out, keep
from linkspan.cni.errors import InvalidConfig

if TYPE_CHECKING:
    from linkspan.host.contract import Host, Links

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


@dataclass(frozen=True, slots=True)
class AssignGateway:
    """Assign the gateways' addresses (CIDR) to `link`, which is the bridge or its link in a VLAN.

    `port` is the attachment's. `force` replaces conflicting addresses, which otherwise are an error. An IPv4
    address in another of the network's `subnets` is the gateway of its containers there, and no conflict.
    """

    link: str
    gateways: tuple[str, ...]
    bridge: str
    port: str
    force: bool = False
    subnets: tuple[str, ...] = ()

    def do(self, host: Host) -> Undo:
        present = [ipaddress.ip_interface(each) for each in host.links().addresses(self.link)]
        return carry_out((*self._removals(present), *self._additions(present)), host)

    def _removals(self, present: list[Interface]) -> Iterator[ChangeGatewayAddress]:
        gateways = [ipaddress.ip_interface(each) for each in self.gateways]
        for each in present:
            if each in gateways or not any(self._conflict(each, gateway) for gateway in gateways):
                continue
            if not self.force:
                raise InvalidConfig(
                    f"$.bridge: {self.link} already has the address {each}, not {', '.join(self.gateways)}",
                    "name another bridge, use that subnet, or set forceAddress to replace the address",
                )
            yield ChangeGatewayAddress(self.link, str(each), self.bridge, self.port, present=False)

    def _additions(self, present: list[Interface]) -> Iterator[ChangeGatewayAddress]:
        for each in self.gateways:
            if ipaddress.ip_interface(each) not in present:
                yield ChangeGatewayAddress(self.link, each, self.bridge, self.port)

    def _conflict(self, present: Interface, gateway: Interface) -> bool:
        """Whether both cannot be on the link: two addresses of one subnet, or IPv4 addresses of two
        networks.
        """
        if present.version != gateway.version:
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
        change = links.add_address if present else links.delete_address
        change(self.link, self.address)

    def _revert(self, links: Links) -> None:
        if self._is_shared(links):
            return
        self._set(links, present=not self.present)
        # A port that joined between the check and the change relies on the gateway.
        if self._is_shared(links):
            self._set(links, present=self.present)

    def _is_shared(self, links: Links) -> bool:
        bridge = links.get(self.bridge)
        ports = links.all(master=bridge.index) if bridge is not None else ()
        return any(each.name != self.port for each in ports)


@dataclass(frozen=True, slots=True)
class EnableForwarding:
    """Enable routing on the host for these families. Shared: never undone."""

    families: tuple[int, ...]

    def do(self, host: Host) -> Undo:
        links = host.links()
        if 4 in self.families:
            links.set_sysctl("ipv4/ip_forward", "1")
        if 6 in self.families and links.sysctl("ipv6/conf/all/forwarding") == "0":
            # A router ignores router advertisements unless accept_ra is 2; the host keeps its default route.
            for link in links.all():
                if links.sysctl(f"ipv6/conf/{link.name}/accept_ra") == "1":
                    links.set_sysctl(f"ipv6/conf/{link.name}/accept_ra", "2")
            links.set_sysctl("ipv6/conf/all/forwarding", "1")
        return keep
