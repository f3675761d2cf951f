"""The container's end of the pair. Everything here is removed with the pair."""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cni_bridge.steps.addresses import add_address, enable_ipv6
from linkspan.call.transaction import Undo, keep
from linkspan.cni.addresses import host_prefix
from linkspan.cni.errors import AlreadyAttached, KernelRefused
from linkspan.cni.model import Address, Route
from linkspan.steps.sysctls import harden

if TYPE_CHECKING:
    from linkspan.host.contract import Host, Links

#: Seconds until both ends of a pair must be up; the kernel needs a millisecond.
CARRIER_TIMEOUT = 1.0
#: Seconds until duplicate address detection must end; the kernel needs one to two.
DETECTION_TIMEOUT = 5.0
#: What the kernel says to a route whose gateway nothing leads to: of IPv4, of IPv6.
_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH)


@dataclass(frozen=True, slots=True)
class ConfigureInterface:
    """Set the interface up with addresses and routes; it is usable when this returns.

    With `own_sender` it asks for neighbours with its own address, also when a packet has that of another
    interface of the container: its frames are checked for that.
    """

    netns: str
    ifname: str
    addresses: tuple[Address, ...]
    routes: tuple[Route, ...]
    nodad: bool = True
    accept_ra: bool = True
    own_sender: bool = False

    def do(self, host: Host) -> Undo:
        links = host.links(self.netns)
        self._set_sysctls(host, links)
        links.change(self.ifname, up=True)
        for address in self.addresses:
            add_address(links, self.ifname, address.address, nodad=self.nodad)
        for route in self.routes:
            self._add(links, route)
        self._await_carrier(links)
        if not self.nodad:
            self._await_detection(links)
        if self.addresses:
            # A previous owner of the addresses may have had another MAC address, which neighbours cache.
            links.announce(self.ifname)
        return keep

    def _set_sysctls(self, host: Host, links: Links) -> None:
        folder = f"ipv6/conf/{self.ifname}"
        has_ipv6 = any(each.family == 6 for each in self.addresses)
        if has_ipv6:
            enable_ipv6(links, self.ifname)
        if has_ipv6 or not self.accept_ra:
            # Addresses and routes come from IPAM only: whoever is on the bridge can send router
            # advertisements.
            harden(host, links, f"{folder}/accept_ra", "0")
            harden(host, links, f"{folder}/autoconf", "0")
        if self.own_sender:
            # Without it the frame filter drops what is asked with another interface's address.
            harden(host, links, f"ipv4/conf/{self.ifname}/arp_announce", "2")
        if self.nodad:
            harden(host, links, f"{folder}/accept_dad", "0")

    def _add(self, links: Links, route: Route) -> None:
        try:
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
        except KernelRefused as error:
            if not route.gw or error.errno not in _UNREACHABLE:
                raise
            to_it = f'{{"dst": "{host_prefix(route.gw)}", "scope": 253}}'
            advice = f"nothing leads to {route.gw}: put the route {to_it} before it"
            raise KernelRefused(error.request, error.errno, advice) from None

    def _await_carrier(self, links: Links) -> None:
        deadline = time.monotonic() + CARRIER_TIMEOUT
        while time.monotonic() < deadline:
            link = links.get(self.ifname)
            if link is None or link.carrier:
                return
            time.sleep(0.001)

    def _await_detection(self, links: Links) -> None:
        """Wait for duplicate address detection (RFC 4862, 5.4)."""
        deadline = time.monotonic() + DETECTION_TIMEOUT
        while tentative := links.unsettled_addresses(self.ifname):
            duplicates = [each for each, is_duplicate in tentative.items() if is_duplicate]
            if duplicates or time.monotonic() > deadline:
                raise AlreadyAttached(
                    f"the address {(duplicates or list(tentative))[0]} is already in use on this network",
                    "remove the other owner, or request another address",
                )
            time.sleep(0.02)
