"""Accepting redirected TCP connections and connecting them with containers."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable
from contextlib import suppress

from linkspan.cni.addresses import Family
from linkspan.daemon.loop import READ, Loop
from linkspan.netfilter.relay import RelayedPort
from linkspan.ports.connection import Connection, Pipes, reset
from linkspan.ports.sockets import AF, original_destination

#: Connections that are accepted before it is another socket's turn.
_BATCH = 64
#: Seconds until connections are accepted again after the host had no descriptor or memory left for one.
_PAUSE = 0.2
#: Descriptors for each connection: two sockets, two pipes while bytes are on their way, and two to spare.
_DESCRIPTORS = 8
#: Seconds of silence before a probe, between two probes, and probes without a reply until the connection is
#: reset: a container that is deleted does not close its connections.
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))

Find = Callable[[Family, str, str, int], "RelayedPort | None"]


def raise_descriptor_limit() -> int:
    """Let this process have as many descriptors as it may; that number."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


class TcpRelay:
    """The listeners and their connections. `find` tells where a port leads: see RelayTable.find.

    While descriptors are scarce nothing is accepted, and clients wait in the listeners' queues. The number of
    a new descriptor is the lowest free one, so it tells how many there are.
    """

    def __init__(self, loop: Loop, find: Find, descriptors: int) -> None:
        self._loop = loop
        self._find = find
        self._most = descriptors * 2 // _DESCRIPTORS
        self._pipes = Pipes()
        self._listeners: dict[Family, socket.socket] = {}
        self._paused = False
        self.connections: set[Connection] = set()

    def listen(self, family: Family, listener: socket.socket) -> None:
        """Relay what arrives at a listener."""
        self._listeners[family] = listener
        if not self._paused:
            self._watch(family, listener)

    @property
    def listeners(self) -> dict[Family, socket.socket]:
        """The listener of each family that has one."""
        return dict(self._listeners)

    def close(self, family: Family) -> None:
        """Accept no more connections of a family; those that are there stay."""
        self._loop.close(self._listeners.pop(family))

    def _watch(self, family: Family, listener: socket.socket) -> None:
        self._loop.watch(listener, READ, lambda: self._accept(family, listener))

    def _accept(self, family: Family, listener: socket.socket) -> None:
        for _ in range(_BATCH):
            try:
                client, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                self._pause()
                self._loop.later(_PAUSE, self._resume)
                return
            self._relay(family, client)
            if self._paused:
                return

    def _relay(self, family: Family, client: socket.socket) -> None:
        client.setblocking(False)
        port = None
        with suppress(OSError):
            port = self._find(family, "tcp", *original_destination(client))
        server = None if port is None else self._server(port)
        if port is None or server is None:
            reset(client)
            return
        connection = Connection(self._loop, client, server, self._pipes)
        self.connections.add(connection)
        connection.done = lambda: self._done(connection)
        connection.open((port.address, port.container_port))
        if server.fileno() >= self._most:
            self._pause()

    def _server(self, port: RelayedPort) -> socket.socket | None:
        """The socket to connect with the container; None if the host has none left."""
        try:
            server = socket.socket(
                AF[6 if ":" in port.address else 4], socket.SOCK_STREAM | socket.SOCK_NONBLOCK
            )
        except OSError:
            return None
        server.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            server.setsockopt(socket.IPPROTO_TCP, option, value)
        return server

    def _done(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self._resume()

    def _pause(self) -> None:
        self._paused = True
        for listener in self._listeners.values():
            self._loop.unwatch(listener)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            for family, listener in self._listeners.items():
                self._watch(family, listener)
