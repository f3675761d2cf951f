"""Everything that is relayed: the table, a TCP listener for each family, a socket for each UDP port."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from functools import partial

from linkspan.cni.model import Attachment
from linkspan.daemon.loop import Loop
from linkspan.netfilter.relay import RelayedPort
from linkspan.ports.sockets import Sockets
from linkspan.ports.table import Key, RelayTable
from linkspan.ports.tcp import TcpRelay
from linkspan.ports.udp import UdpRelay


class Relay:
    """Relays the ports of attachments. `descriptors` is how many this process may have."""

    def __init__(self, loop: Loop, sockets: Sockets, descriptors: int) -> None:
        self._loop = loop
        self._sockets = sockets
        self._table = RelayTable()
        self._tcp = TcpRelay(loop, self._table.find, descriptors)
        self._udp: dict[Key, UdpRelay] = {}

    def serve(self, attachment: Attachment, ports: Iterable[RelayedPort]) -> tuple[RelayedPort, ...]:
        """Relay these ports of an attachment and no others.

        Returns those that are relayed, with the port to redirect them to: the one that they have already if
        it is free. Ports of a family that this host does not have are left out.
        """
        served = tuple(self._with_sockets(ports))
        self._table.put(attachment, served)
        self._close_unused()
        return served

    def remove(self, attachment: Attachment) -> None:
        """Relay nothing more for an attachment; connections that are there stay."""
        self._table.remove(attachment)
        self._close_unused()

    def of(self, attachment: Attachment) -> tuple[RelayedPort, ...]:
        """The ports of an attachment, with the port to redirect them to."""
        return self._table.of(attachment)

    def all(self) -> Iterator[tuple[Attachment, tuple[RelayedPort, ...]]]:
        """Every attachment with its ports."""
        return self._table.all()

    @property
    def connections(self) -> int:
        """How many TCP connections are being relayed."""
        return len(self._tcp.connections)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The sockets that packets are redirected to."""
        return (*self._tcp.listeners.values(), *(each.listener for each in self._udp.values()))

    def stop_accepting(self) -> None:
        """Close the sockets that packets are redirected to; connections that are there stay."""
        for attachment, _ in tuple(self._table.all()):
            self._table.remove(attachment)
        self._close_unused()

    def reset(self) -> None:
        """Reset every connection."""
        for each in tuple(self._tcp.connections):
            each.reset()

    def __len__(self) -> int:
        return len(self._table)

    def _with_sockets(self, ports: Iterable[RelayedPort]) -> Iterator[RelayedPort]:
        for each in ports:
            try:
                listener = self._listener(each)
            except OSError:
                continue
            yield each.redirected(listener.getsockname()[1])

    def _listener(self, port: RelayedPort) -> socket.socket:
        if port.protocol == "tcp":
            if port.family not in self._tcp.listeners:
                self._tcp.listen(port.family, self._bind(port))
            return self._tcp.listeners[port.family]
        if port.key not in self._udp:
            target = partial(self._table.get, port.key)
            self._udp[port.key] = UdpRelay(self._loop, self._bind(port), target)
        return self._udp[port.key].listener

    def _bind(self, port: RelayedPort) -> socket.socket:
        return self._sockets.bind_any(port.family, port.protocol, port.redirect)

    def _close_unused(self) -> None:
        families = {family for family, *_ in self._table.keys("tcp")}
        for family in self._tcp.listeners.keys() - families:
            self._tcp.close(family)
        for key in self._udp.keys() - self._table.keys("udp"):
            self._udp.pop(key).close()
