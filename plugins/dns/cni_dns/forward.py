"""Asking the servers behind us: each in turn, within the time a client waits.

A query goes out as it came, with an id and a port that nobody can guess; an answer counts only from the server that was asked, with
this id and this question.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from ipaddress import ip_address

from cni_dns.loop import READ, WRITE, Loop
from cni_dns.message import HEADER, REFUSED, SERVFAIL, question_end

#: Seconds for all servers together: glibc and musl give a query up after five.
BUDGET = 4.0
MOST_SERVERS = 3
MOST_PENDING = 1024
MOST_PER_CLIENT = 128
_AVOIDED = 15.0

Done = Callable[["bytes | None"], None]


def nameservers(resolv_conf: str, not_these: Collection[str]) -> tuple[str, ...]:
    """The first three servers of a resolv.conf, ours left out; lines that make no sense are passed over."""
    found = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if (
            len(words) > 1
            and words[0] == "nameserver"
            and _is_address(words[1])
            and words[1] not in not_these
        ):
            found.append(words[1])
    return tuple(dict.fromkeys(found))[:MOST_SERVERS]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


class ResolvConf:
    """The host's resolv.conf, read again when the file is another or was changed."""

    def __init__(self, path: str = "/etc/resolv.conf") -> None:
        self._path = path
        self._stamp: tuple[int, ...] = ()
        self._text = ""

    def servers(self, not_these: Collection[str]) -> tuple[str, ...]:
        """Whom to ask; empty when the file is absent or names nobody but us."""
        try:
            status = os.stat(self._path)
            stamp = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                with open(self._path, encoding="utf-8", errors="replace") as file:
                    self._text = file.read(1 << 16)
                self._stamp = stamp
        except OSError:
            self._stamp, self._text = (), ""
        return nameservers(self._text, not_these)


class Forwarder:
    """Asks servers for clients. Whoever asks too much at once is told that nobody answered."""

    def __init__(self, loop: Loop, port: int = 53) -> None:
        self._loop = loop
        self._port = port
        self._pending: Counter[str] = Counter()
        self._silent: dict[str, float] = {}

    def ask(
        self, data: bytes, client: str, servers: tuple[str, ...], done: Done, *, tcp: bool = False
    ) -> None:
        """Call `done` once, with the reply to a query (its id restored) or with None when no server gave a good one."""
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

        _Errand(self, self._loop, data, self._in_order(servers), finished, tcp=tcp).next()

    def address(self, server: str) -> tuple[socket.AddressFamily, tuple[object, ...]]:
        """Family and socket address of a server; a zone (`%eth0`) is understood."""
        family, _, _, _, address = socket.getaddrinfo(
            server, self._port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        )[0]
        return family, address

    def was_silent(self, server: str) -> None:
        """Ask this one after the others for a while."""
        self._silent[server] = time.monotonic() + _AVOIDED

    def spoke(self, server: str) -> None:
        """Ask this one in its turn again."""
        self._silent.pop(server, None)

    def _in_order(self, servers: tuple[str, ...]) -> list[str]:
        now = time.monotonic()
        return sorted(servers[:MOST_SERVERS], key=lambda each: self._silent.get(each, 0.0) > now)


class _Errand:
    """One query on its way from server to server."""

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

    def next(self) -> None:
        """Ask the next server; when none is left the errand is over."""
        while self._servers:
            self._server = self._servers.pop(0)
            try:
                self._start()
            except OSError:
                self._owner.was_silent(self._server)
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
                self._loop.watch(self._sock, READ, self._datagram)
        except OSError:
            self._loop.close(self._sock)
            raise
        self._timer = self._loop.later(self._each, self._nothing)

    def _nothing(self) -> None:
        """No answer in time, or a refused connection."""
        self._owner.was_silent(self._server)
        self._give_up()

    def _give_up(self) -> None:
        self._timer.cancel()
        self._loop.close(self._sock)
        self.next()

    def _datagram(self) -> None:
        try:
            reply = self._sock.recv(65535)
        except BlockingIOError:
            return
        except OSError:
            self._nothing()
            return
        if self._is_answer(reply):
            self._judge(reply)

    def _connected(self) -> None:
        try:
            self._sock.send(len(self._query).to_bytes(2, "big") + self._query)
        except BlockingIOError:
            return
        except OSError:
            self._nothing()
            return
        self._loop.watch(self._sock, READ, self._stream)

    def _stream(self) -> None:
        try:
            chunk = self._sock.recv(65537)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._nothing()
            return
        self._received += chunk
        reply = self._received[2 : 2 + int.from_bytes(self._received[:2], "big")]
        if len(self._received) < 2 or len(reply) < int.from_bytes(self._received[:2], "big"):
            return
        if self._is_answer(reply):
            self._judge(reply)
        else:
            self._give_up()

    def _is_answer(self, reply: bytes) -> bool:
        if len(reply) < HEADER or reply[:2] != self._query[:2] or not reply[2] & 0x80:
            return False
        if reply[4:6] == b"\0\0" and reply[3] & 0x0F:
            return True  # an error may come without the question (RFC 1035, 4.1.1)
        end = question_end(self._query)
        return reply[HEADER:end].lower() == self._query[HEADER:end].lower()

    def _judge(self, reply: bytes) -> None:
        self._owner.spoke(self._server)
        if reply[3] & 0x0F in (SERVFAIL, REFUSED):
            self._give_up()
            return
        self._timer.cancel()
        self._loop.close(self._sock)
        self._done(self._data[:2] + reply[2:])
