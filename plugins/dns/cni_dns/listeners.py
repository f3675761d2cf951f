"""Listening on a gateway's address, port 53, UDP and TCP.

Sockets are bound to addresses, never to a device: a device-bound socket is deaf once its bridge was made anew. IP_FREEBIND
lets the server come back before a bridge does.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import suppress

from cni_dns.holder import holder_of_port
from cni_dns.loop import READ, WRITE, Loop
from linkspan.cni.errors import KernelRefused, PortTaken

PORT = 53
IP_FREEBIND, IPV6_FREEBIND = 15, 78
"""linux/in.h and linux/in6.h; the socket module has neither."""

_RECEIVE_BUFFER = 4 << 20
_BURST = 64

MOST_CONNECTIONS = 128
MOST_PER_CLIENT = 8
_IDLE = 5.0
_LIFE = 60.0
_LONGEST_QUERY = 4096
_MOST_UNSENT = 1 << 18

#: `Quick`: (datagram, client's address) -> reply. `Careful`: (query, client's address, whether over TCP, where the reply goes).
Quick = Callable[[bytes, str], "bytes | None"]
Careful = Callable[[bytes, str, bool, Callable[[bytes], None]], None]


class Listener:
    """One gateway address. `quick` answers a datagram at once or says None; `careful` takes what it could not."""

    def __init__(self, loop: Loop, address: str, quick: Quick, careful: Careful) -> None:
        self.address = address
        self._loop = loop
        self._quick = quick
        self._careful = careful
        self._clients: dict[Connection, str] = {}
        self._udp = _bound(address, socket.SOCK_DGRAM)
        try:
            self._tcp = _bound(address, socket.SOCK_STREAM)
        except BaseException:
            self._udp.close()
            raise
        loop.watch(self._udp, READ, self._datagrams)
        loop.watch(self._tcp, READ, self._accept)

    def close(self) -> None:
        """Listen no longer; open connections are cut."""
        for connection in tuple(self._clients):
            connection.close()
        self._loop.close(self._udp)
        self._loop.close(self._tcp)

    def _datagrams(self) -> None:
        receive, quick = self._udp.recvfrom, self._quick
        for _ in range(_BURST):
            try:
                data, sender = receive(4096)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error about an earlier reply
                continue
            reply = quick(data, sender[0])
            if reply is not None:
                self._send(reply, sender)
            else:
                self._careful(data, sender[0], False, lambda late, to=sender: self._send(late, to))  # type: ignore[misc]

    def _send(self, reply: bytes, sender: tuple[object, ...]) -> None:
        with suppress(OSError):
            self._udp.sendto(reply, sender)

    def _accept(self) -> None:
        try:
            sock, sender = self._tcp.accept()
        except OSError:
            return
        client = sender[0]
        if (
            len(self._clients) >= MOST_CONNECTIONS
            or list(self._clients.values()).count(client) >= MOST_PER_CLIENT
        ):
            sock.close()
            return
        sock.setblocking(False)
        ask = lambda data, answer: self._careful(data, client, True, answer)  # noqa: E731
        connection = Connection(self._loop, sock, ask, lambda ended: self._clients.pop(ended, None))
        self._clients[connection] = client


class Connection:
    """A client over TCP (RFC 7766): one query after the other, with limits on everything it could use up."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        ask: Callable[[bytes, Callable[[bytes], None]], None],
        ended: Callable[[Connection], object],
    ) -> None:
        self._loop, self._sock, self._ask, self._ended = loop, sock, ask, ended
        self._received = self._unsent = b""
        self._waiting, self._open = False, True
        self._end = loop.later(_LIFE, self.close)
        self._idle = loop.later(_IDLE, self.close)
        loop.watch(sock, READ, self._ready)

    def close(self) -> None:
        """Cut the connection; again does nothing."""
        if self._open:
            self._open = False
            self._end.cancel()
            self._idle.cancel()
            self._loop.close(self._sock)
            self._ended(self)

    def _ready(self) -> None:
        try:
            if self._unsent:
                self._flush()
                return
            chunk = self._sock.recv(_LONGEST_QUERY)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self.close()
            return
        self._received += chunk
        self._serve()

    def _serve(self) -> None:
        """Take the next query if it is whole and none is being answered; what waits is bounded by its length."""
        if not self._open or self._waiting or self._unsent or len(self._received) < 2:
            return
        size = int.from_bytes(self._received[:2], "big")
        if size > _LONGEST_QUERY:
            self.close()
            return
        if len(self._received) >= 2 + size:
            data, self._received = self._received[2 : 2 + size], self._received[2 + size :]
            self._waiting = True
            self._idle.cancel()
            self._loop.watch(self._sock, READ, self._hold)
            self._ask(data, self._answer)

    def _hold(self) -> None:
        """Bytes that arrive while a query is being answered; too many of them end the connection."""
        try:
            chunk = self._sock.recv(_LONGEST_QUERY)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        self._received += chunk
        if not chunk or len(self._received) > 4 * _LONGEST_QUERY:
            self.close()

    def _answer(self, reply: bytes) -> None:
        if not self._open:
            return
        self._waiting = False
        self._unsent = len(reply).to_bytes(2, "big") + reply if reply else b""
        self._flush()

    def _flush(self) -> None:
        try:
            self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        self._loop.watch(self._sock, WRITE if self._unsent else READ, self._ready)
        if not self._unsent:
            self._idle.cancel()
            self._idle = self._loop.later(_IDLE, self.close)
            self._loop.later(0, self._serve)


def _bound(address: str, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        sock.bind((address, PORT))
        if kind == socket.SOCK_STREAM:
            sock.listen(MOST_CONNECTIONS)
    except OSError as error:
        sock.close()
        raise _refusal(address, error) from None
    return sock


def _refusal(address: str, error: OSError) -> PortTaken | KernelRefused:
    if error.errno != errno.EADDRINUSE:
        return KernelRefused(f"listen on {address} port {PORT}", error.errno or errno.EINVAL)
    return PortTaken(
        f"port {PORT} of {address} is taken by {holder_of_port(address, PORT)}; container names cannot be served there",
        "stop that program or keep it off this address, for example with dnsmasq's bind-interfaces and except-interface",
    )
