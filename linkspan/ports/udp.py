"""Relaying the datagrams of one published UDP port. A client's answers come from the address that it sent to:
connection tracking reverses the redirection that brought its datagram here.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from linkspan.daemon.loop import READ, Loop, Timer
from linkspan.netfilter.relay import RelayedPort
from linkspan.ports.sockets import AF

#: Seconds without a datagram after which a session ends, as in the kernel (nf_conntrack_udp_timeout_stream).
IDLE = 120.0
#: Clients of one port that are remembered; a further one takes the place of the one that was silent longest.
SESSIONS = 1024
#: Datagrams that are read before it is another socket's turn, and the size of the largest, in bytes.
_BATCH, _LARGEST = 64, 1 << 16

#: What recvfrom() says of a client; for IPv6 with flow and scope.
Client = tuple[Any, ...]


class Session:
    """A client's socket towards the container; answers are sent on from `listener`."""

    def __init__(self, loop: Loop, listener: socket.socket, client: Client, target: tuple[str, int]) -> None:
        self._loop = loop
        self._listener = listener
        self._client = client
        self.target = target
        self.used = time.monotonic()
        self._server = socket.socket(
            AF[6 if ":" in target[0] else 4], socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        )
        try:
            self._server.connect(target)
        except OSError:
            self._server.close()
            raise
        loop.watch(self._server, READ, self._answer)

    def send(self, data: bytes) -> None:
        """Send a client's datagram on; like any network, lose it if that is not possible."""
        self.used = time.monotonic()
        with suppress(OSError):
            self._server.send(data)

    def close(self) -> None:
        """End it."""
        self._loop.close(self._server)

    def _answer(self) -> None:
        with suppress(OSError):
            for _ in range(_BATCH):
                data = self._server.recv(_LARGEST)
                self.used = time.monotonic()
                self._listener.sendto(data, self._client)


class UdpRelay:
    """One published port. `target` tells where it leads now, None if nowhere."""

    def __init__(self, loop: Loop, listener: socket.socket, target: Callable[[], RelayedPort | None]) -> None:
        self._loop = loop
        self.listener = listener
        self._target = target
        self._sessions: dict[Client, Session] = {}
        self._expiry: Timer | None = None
        loop.watch(listener, READ, self._receive)

    def close(self) -> None:
        """Relay nothing more, and end every session."""
        self._loop.close(self.listener)
        for each in self._sessions.values():
            each.close()
        self._sessions = {}
        if self._expiry is not None:
            self._expiry.cancel()

    def _receive(self) -> None:
        with suppress(BlockingIOError):
            for _ in range(_BATCH):
                data, client = self.listener.recvfrom(_LARGEST)
                session = self._session(client)
                if session is not None:
                    session.send(data)

    def _session(self, client: Client) -> Session | None:
        port = self._target()
        session = self._sessions.pop(client, None)
        target = None if port is None else (port.address, port.container_port)
        if session is not None and session.target != target:
            session.close()
            session = None
        if session is None and target is not None:
            session = self._open(client, target)
        if session is not None:
            self._sessions[client] = session  # the last is the one that was used last
        return session

    def _open(self, client: Client, target: tuple[str, int]) -> Session | None:
        if len(self._sessions) >= SESSIONS:
            self._sessions.pop(next(iter(self._sessions))).close()
        if self._expiry is None:
            self._expiry = self._loop.later(IDLE, self._expire)
        try:
            return Session(self._loop, self.listener, client, target)
        except OSError:
            return None

    def _expire(self) -> None:
        """End the sessions that are silent; come again while there are others."""
        oldest = time.monotonic() - IDLE
        for client, session in tuple(self._sessions.items()):
            if session.used <= oldest:
                session.close()
                del self._sessions[client]
        self._expiry = self._loop.later(IDLE, self._expire) if self._sessions else None
