"""Holding ports: a socket at each that others see and that receives nothing, so that nobody takes the port.

Packets to a published port are translated before they reach any socket. Without the filter that makes the
socket deaf a client would be accepted, and wait for ever, whenever the translation is missing.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

from linkspan.cni.addresses import Family
from linkspan.cni.errors import KernelRefused, PortTaken
from linkspan.cni.model import Attachment
from linkspan.host.linux.procfs import owner_of
from linkspan.ports.sockets import Sockets
from linkspan.ports.table import HeldPort

_EVERY_ADDRESS: dict[Family, str] = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - nothing is received there
#: The kernel has no such sockets, so nobody else has one at that port either.
_UNKNOWN = (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT)


class HeldPorts:
    """Which ports are held, with their sockets. Several attachments of a container may hold the same one."""

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets
        self._by_port: dict[HeldPort, list[socket.socket]] = {}
        self._holders: dict[HeldPort, set[Attachment]] = {}

    def hold(self, attachment: Attachment, port: HeldPort) -> None:
        """Hold a port. Raises PortTaken naming the container or the process that has it, KernelRefused."""
        owners = self._holders.get(port, set())
        if any(each.container_id != attachment.container_id for each in owners):
            raise _taken(port, owners)
        if port not in self._by_port:
            self._by_port[port] = self._bind(port)
        self._holders.setdefault(port, set()).add(attachment)

    def release(self, attachment: Attachment, port: HeldPort) -> None:
        """Hold a port no longer; fine if the attachment does not hold it."""
        owners = self._holders.get(port, set())
        owners.discard(attachment)
        if not owners and self._holders.pop(port, None) is not None:
            for sock in self._by_port.pop(port):
                sock.close()

    def close(self) -> None:
        """Hold nothing any more."""
        for sock in self.sockets:
            sock.close()
        self._by_port, self._holders = {}, {}

    def of(self, attachment: Attachment) -> tuple[HeldPort, ...]:
        """The ports that an attachment holds."""
        return tuple(port for port, owners in self._holders.items() if attachment in owners)

    def all(self) -> Iterator[tuple[Attachment, HeldPort]]:
        """Every owner with each of its ports."""
        for port, owners in self._holders.items():
            yield from ((owner, port) for owner in owners)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The sockets at all held ports."""
        return tuple(sock for each in self._by_port.values() for sock in each)

    def __len__(self) -> int:
        return len(self._holders)

    def _bind(self, port: HeldPort) -> list[socket.socket]:
        bound: list[socket.socket] = []
        for family, address in _addresses(port):
            try:
                bound.append(self._sockets.bind(family, port.protocol, address, port.port, deaf=True))
            except OSError as error:
                if error.errno in _UNKNOWN:
                    continue
                for sock in bound:
                    sock.close()
                raise self._refusal(port, error) from None
        return bound

    def _refusal(self, port: HeldPort, error: OSError) -> PortTaken | KernelRefused:
        if error.errno != errno.EADDRINUSE:
            return KernelRefused(f"hold the port {port}", error.errno or 0)
        for other, owners in self._holders.items():
            if (other.protocol, other.port) == (port.protocol, port.port):
                return _taken(port, owners)
        return PortTaken(
            f"host port {port} is in use by {owner_of(port.protocol, port.port) or 'another program'}",
            "choose another host port, or stop that program",
        )


def _addresses(port: HeldPort) -> Iterator[tuple[Family, str]]:
    if port.address:
        yield (6 if ":" in port.address else 4), port.address
    else:
        yield from _EVERY_ADDRESS.items()


def _taken(port: HeldPort, owners: set[Attachment]) -> PortTaken:
    owner = next(iter(owners))
    return PortTaken(
        f"host port {port} is held for container {owner.short_id} on network {owner.network[:24]}",
        f"{owner} holds it; choose another host port, or remove that container",
    )
