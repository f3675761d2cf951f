"""Forwarding queries to upstream servers: each in turn, within the time that a client waits.

A query goes out as it came, with an id and a port that nobody can guess. A reply counts only from the
server that was asked, with this id and this question.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from ipaddress import ip_address

from cni_dns.server.wire import HEADER, REFUSED, SERVFAIL, question_end
from linkspan.daemon.loop import READ, WRITE, Loop

#: Seconds for all servers together: glibc and musl give a query up after five.
BUDGET = 4.0
MOST_SERVERS = 3
MOST_PENDING = 1024
MOST_PER_CLIENT = 128
#: Seconds for which a server that did not reply is asked after the others.
_AVOIDED = 15.0

Done = Callable[["bytes | None"], None]


def nameservers(resolv_conf: str, excluded: Collection[str]) -> tuple[str, ...]:
    """The first three servers of a resolv.conf that are not excluded; invalid lines are ignored."""
    found = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver" and _is_address(words[1]) and words[1] not in excluded:
            found.append(words[1])
    return tuple(dict.fromkeys(found))[:MOST_SERVERS]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


class ResolvConf:
    """The host's resolv.conf, read again when the file has changed or was replaced."""

    def __init__(self, path: str = "/etc/resolv.conf") -> None:
        self._path = path
        self._stamp: tuple[int, ...] = ()
        self._text = ""

    def servers(self, excluded: Collection[str]) -> tuple[str, ...]:
        """The servers to ask; empty if the file does not exist or names only excluded ones."""
        try:
            status = os.stat(self._path)
            stamp = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                with open(self._path, encoding="utf-8", errors="replace") as file:
                    self._text = file.read(1 << 16)
                self._stamp = stamp
        except OSError:
            self._stamp, self._text = (), ""
        return nameservers(self._text, excluded)


class Forwarder:
    """Asks servers for clients. A client with too many queries at once gets no reply to the others."""

    def __init__(self, loop: Loop, port: int = 53) -> None:
        self._loop = loop
        self._port = port
        self._pending: Counter[str] = Counter()
        self._avoided: dict[str, float] = {}

    def ask(
        self, data: bytes, client: str, servers: tuple[str, ...], done: Done, *, tcp: bool = False
    ) -> None:
        """Call `done` once: with the reply to a query, its id restored, or None if no server gave a usable
        one.
        """
        busy = self._pending.total() >= MOST_PENDING or self._pending[client] >= MOST_PER_CLIENT
        if busy or not servers:
            done(None)
            return
        self._pending[client] += 1

        def finished(reply: bytes | None) -> None:
            self._pending[client] -= 1
            if not self._pending[client]:
                del self._pending[client]
            done(reply)

        _Exchange(self, self._loop, data, self._in_order(servers), finished, tcp=tcp).ask_next()

    def address(self, server: str) -> tuple[socket.AddressFamily, tuple[object, ...]]:
        """Family and socket address of a server; a zone (`%eth0`) is allowed."""
        family, _, _, _, address = socket.getaddrinfo(
            server, self._port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        )[0]
        return family, address

    def mark_unresponsive(self, server: str) -> None:
        """Ask this server after the others for a while."""
        self._avoided[server] = time.monotonic() + _AVOIDED

    def mark_responsive(self, server: str) -> None:
        """Ask this server in its turn again."""
        self._avoided.pop(server, None)

    def _in_order(self, servers: tuple[str, ...]) -> list[str]:
        now = time.monotonic()
        return sorted(servers[:MOST_SERVERS], key=lambda each: self._avoided.get(each, 0.0) > now)


class _Exchange:
    """One query, sent to one server after the other until one of them answers it."""

    def __init__(
        self, owner: Forwarder, loop: Loop, data: bytes, servers: list[str], done: Done, *, tcp: bool
    ) -> None:
        self._owner = owner
        self._loop = loop
        self._data = data
        self._servers = servers
        self._done = done
        self._tcp = tcp
        self._each = BUDGET / len(servers)
        self._received = b""

    def ask_next(self) -> None:
        """Ask the next server; without one there is no reply."""
        while self._servers:
            self._server = self._servers.pop(0)
            try:
                self._start()
            except OSError:
                self._owner.mark_unresponsive(self._server)
                continue
            return
        self._done(None)

    def _start(self) -> None:
        family, address = self._owner.address(self._server)
        kind = socket.SOCK_STREAM if self._tcp else socket.SOCK_DGRAM
        self._query = os.urandom(2) + self._data[2:]
        self._received = b""
        self._sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            with suppress(BlockingIOError):
                self._sock.connect(address)
            if self._tcp:
                self._loop.watch(self._sock, WRITE, self._connected)
            else:
                self._sock.send(self._query)
                self._loop.watch(self._sock, READ, self._receive_datagram)
        except OSError:
            self._loop.close(self._sock)
            raise
        self._timer = self._loop.later(self._each, self._fail)

    def _fail(self) -> None:
        """No reply in time, or a refused connection."""
        self._owner.mark_unresponsive(self._server)
        self._end()

    def _end(self) -> None:
        """This server is done with, and the query is not answered."""
        self._timer.cancel()
        self._loop.close(self._sock)
        self.ask_next()

    def _receive_datagram(self) -> None:
        try:
            reply = self._sock.recv(65535)
        except BlockingIOError:
            return
        except OSError:
            self._fail()
            return
        if self._is_reply(reply):
            self._accept(reply)

    def _connected(self) -> None:
        try:
            self._sock.send(len(self._query).to_bytes(2, "big") + self._query)
        except BlockingIOError:
            return
        except OSError:
            self._fail()
            return
        self._loop.watch(self._sock, READ, self._receive_stream)

    def _receive_stream(self) -> None:
        try:
            chunk = self._sock.recv(65537)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._fail()
            return
        self._received += chunk
        reply = self._received[2 : 2 + int.from_bytes(self._received[:2], "big")]
        if len(self._received) < 2 or len(reply) < int.from_bytes(self._received[:2], "big"):
            return
        if self._is_reply(reply):
            self._accept(reply)
        else:
            self._end()

    def _is_reply(self, reply: bytes) -> bool:
        if len(reply) < HEADER or reply[:2] != self._query[:2] or not reply[2] & 0x80:
            return False
        if reply[4:6] == b"\0\0" and reply[3] & 0x0F:
            return True  # an error may come without the question (RFC 1035, 4.1.1)
        end = question_end(self._query)
        return reply[HEADER:end].lower() == self._query[HEADER:end].lower()

    def _accept(self, reply: bytes) -> None:
        self._owner.mark_responsive(self._server)
        if reply[3] & 0x0F in (SERVFAIL, REFUSED):
            self._end()
            return
        self._timer.cancel()
        self._loop.close(self._sock)
        self._done(self._data[:2] + reply[2:])
