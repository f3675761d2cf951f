"""Which listeners are open: one for each gateway's address, on the device of its containers.

It serves the host too. The kernel delivers what the host sends to one of its own addresses through `lo`, but
as received by the device that has the address: net/ipv4/route.c (orig_oif), net/ipv6/ip6_input.c (iif). It
asks from the gateway's own address, unless a program binds to another: replies to that leave by the bridge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from cni_dns.server.listen import Listener, index_of
from cni_dns.server.zone import ListenKey
from linkspan.cni.addresses import without_prefix

if TYPE_CHECKING:
    from linkspan.host.contract import Host


class Listeners:
    """`make` opens one: it is called with the key and the device."""

    def __init__(self, host: Host, make: Callable[[ListenKey, str], Listener]) -> None:
        self._host = host
        self._make = make
        self._open: dict[ListenKey, Listener] = {}

    @property
    def addresses(self) -> frozenset[str]:
        """The addresses that are listened on."""
        return frozenset(address for _, address in self._open)

    def open(self, keys: Iterable[ListenKey]) -> None:
        """Listen there, again where the device was recreated since.

        As long as a device does not exist nobody asks there, and nothing is opened. Raises PortTaken,
        KernelRefused.
        """
        for key in keys:
            present = self._open.get(key)
            if present is not None and present.index == index_of(present.device):
                continue
            self._close(key)
            device = self._device(key)
            if index_of(device):
                self._open[key] = self._make(key, device)

    def close_all_but(self, keys: Iterable[ListenKey]) -> None:
        """Close the listeners that are not needed for these."""
        for key in self._open.keys() - set(keys):
            self._close(key)

    def _close(self, key: ListenKey) -> None:
        present = self._open.pop(key, None)
        if present is not None:
            present.close()

    def _device(self, key: ListenKey) -> str:
        """The link on which the queries arrive: the bridge, or its link in a VLAN if that has the address.

        If no device is known (""), whichever link has it.
        """
        device, address = key
        if (device and not index_of(device)) or self._has(device, address):
            return device
        for link in self._host.links().all(kind="vlan" if device else ""):
            if link.name.startswith(f"{device}." if device else "") and self._has(link.name, address):
                return link.name
        return device

    def _has(self, device: str, address: str) -> bool:
        return bool(device) and address in map(without_prefix, self._host.links().addresses(device))
