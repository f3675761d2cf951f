"""Listening for queries that arrive on one device at one address, port 53, UDP and TCP.

The sockets are bound to the device (SO_BINDTODEVICE): the kernel delivers to them what came in there and
nothing else, whatever the source address says, at no cost for a packet. With IP_FREEBIND the server can start
before the address exists; a device that was recreated needs new sockets.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from linkspan.cni.errors import KernelRefused, PortTaken
from linkspan.daemon.loop import READ, WRITE, Loop
from linkspan.host.linux.procfs import owner_of_port, owner_of_port_everywhere

PORT = 53
IP_FREEBIND, IPV6_FREEBIND = 15, 78
"""linux/in.h and linux/in6.h; the socket module has neither."""

_RECEIVE_BUFFER = 4 << 20
#: Datagrams that are read before other sockets get their turn.
_BURST = 64

MOST_CONNECTIONS = 128
MOST_PER_CLIENT = 8
#: Seconds that a TCP connection may be idle, and that it may last.
_IDLE, _LIFE = 5.0, 60.0
_LONGEST_QUERY = 4096

#: (datagram, client's address) -> reply, or None if that needs the other one.
FastPath = Callable[[bytes, str], "bytes | None"]
#: (query, client's address, whether over TCP, where the reply goes).
SlowPath = Callable[[bytes, str, bool, Callable[[bytes], None]], None]


class Listener:
    """One address on one device; `index` is the device's when it was bound to.

    `fast_path` answers a datagram at once or returns None; then `slow_path` gets it. Raises PortTaken,
    KernelRefused.
    """

    def __init__(
        self, loop: Loop, device: str, address: str, fast_path: FastPath, slow_path: SlowPath
    ) -> None:
        self.device = device
        self.index = index_of(device)
        self._loop = loop
        self._fast_path = fast_path
        self._slow_path = slow_path
        self._clients: dict[Connection, str] = {}
        self._udp = _bound(device, address, socket.SOCK_DGRAM)
        try:
            self._tcp = _bound(device, address, socket.SOCK_STREAM)
        except BaseException:
            self._udp.close()
            raise
        loop.watch(self._udp, READ, self._receive)
        loop.watch(self._tcp, READ, self._accept)

    def close(self) -> None:
        """Stop listening, and close every connection."""
        for connection in tuple(self._clients):
            connection.close()
        self._loop.close(self._udp)
        self._loop.close(self._tcp)

    def _receive(self) -> None:
        receive, fast_path = self._udp.recvfrom, self._fast_path
        for _ in range(_BURST):
            try:
                data, sender = receive(4096)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error about an earlier reply
                continue
            reply = fast_path(data, sender[0])
            if reply is not None:
                self._send(sender, reply)
            else:
                self._slow_path(data, sender[0], False, partial(self._send, sender))

    def _send(self, sender: tuple[object, ...], reply: bytes) -> None:
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
        ask = lambda data, answer: self._slow_path(data, client, True, answer)  # noqa: E731
        connection = Connection(self._loop, sock, ask, lambda ended: self._clients.pop(ended, None))
        self._clients[connection] = client


class Connection:
    """A client over TCP (RFC 7766): one query after the other, with limits on all that it can use up."""

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
        """Close the connection; a second call does nothing."""
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
        """Begin with the next query if it is complete and none is being answered."""
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
            self._loop.watch(self._sock, READ, self._buffer)
            self._ask(data, self._answer)

    def _buffer(self) -> None:
        """Keep what arrives while a query is being answered; too much of it ends the connection."""
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


def index_of(device: str) -> int:
    """The index of a link, 0 if it does not exist."""
    try:
        return socket.if_nametoindex(device)
    except OSError:
        return 0


def _bound(device: str, address: str, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
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
        raise _bind_error(device, address, error) from None
    return sock


def _bind_error(device: str, address: str, error: OSError) -> PortTaken | KernelRefused:
    if error.errno != errno.EADDRINUSE:
        return KernelRefused(f"listen on {address} port {PORT} of {device}", error.errno or errno.EINVAL)
    return PortTaken(
        f"port {PORT} of {address} is taken by {owner(address)}; container names cannot be served there",
        "stop that program or keep it off this address, "
        "for example with dnsmasq's bind-interfaces and except-interface",
    )


def is_local(address: str) -> bool:
    """Whether an address is one of this network namespace's own; a gateway may be another router."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def owner(address: str) -> str:
    """Who, such as `dnsmasq (pid 123)`, has port 53 of an address."""
    return owner_of_port(address, PORT)


def owner_everywhere() -> str:
    """Who has port 53 of all addresses; "" if nobody has."""
    return owner_of_port_everywhere(PORT)
