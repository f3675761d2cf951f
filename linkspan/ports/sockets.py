"""Sockets bound to addresses of the host, over an upgrade too, and where redirected clients expected
to go.
"""

from __future__ import annotations

import array
import random
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress

from linkspan.cni.addresses import Family
from linkspan.netfilter.relay import REDIRECTED_TO

#: The address family of a socket.
AF = {4: socket.AF_INET, 6: socket.AF_INET6}
_KINDS = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}

_SOL_IPV6 = 41  # linux/in6.h; `socket` has no name for it
_SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h, and IP6T_SO_ORIGINAL_DST of linux/netfilter_ipv6/ip6_tables.h
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_RETURN_0 = struct.pack("HBBI", 0x06, 0, 0, 0)  # BPF_RET | BPF_K: take 0 bytes of the packet (linux/filter.h)
_PORT_RANGE = "/proc/sys/net/ipv4/ip_local_port_range"
_ATTEMPTS = 64


class Sockets:
    """Binds sockets; those that an earlier build of this process bound already are taken over as they are."""

    def __init__(self, inherited: Iterable[socket.socket] = ()) -> None:
        self._inherited = {(each.proto, *each.getsockname()[:2]): each for each in inherited}

    def bind(
        self, family: Family, protocol: str, address: str, port: int, *, deaf: bool = False
    ) -> socket.socket:
        """A non-blocking socket at an address, listening if it is not UDP; a deaf one receives nothing.

        Raises OSError.
        """
        kind, number = _KINDS[protocol]
        known = self._inherited.pop((number, address, port), None)
        if known is not None:
            return known
        sock = socket.socket(AF[family], kind | socket.SOCK_NONBLOCK, number)
        try:
            _prepare(sock, deaf=deaf)
            sock.bind((address, port))
            if kind == socket.SOCK_STREAM:
                sock.listen(socket.SOMAXCONN)
        except OSError:
            sock.close()
            raise
        return sock

    def bind_any(self, family: Family, protocol: str, preferred: int) -> socket.socket:
        """A socket for what is redirected: at the preferred port, or if that is 0 or taken at a free one.

        Raises OSError.
        """
        for port in (*((preferred,) if preferred else ()), *_free_ports(), 0):
            with suppress(OSError):
                return self.bind(family, protocol, REDIRECTED_TO[family], port)
        return self.bind(family, protocol, REDIRECTED_TO[family], 0)

    def close(self) -> None:
        """Close the inherited sockets that were not needed again."""
        for each in self._inherited.values():
            each.close()
        self._inherited = {}


def original_destination(connection: socket.socket) -> tuple[str, int]:
    """The address and port that a redirected client expected. Raises OSError if it was not redirected."""
    if connection.family == socket.AF_INET6:
        data = connection.getsockopt(_SOL_IPV6, _SO_ORIGINAL_DST, 28)
        return socket.inet_ntop(socket.AF_INET6, data[8:24]), int.from_bytes(data[2:4], "big")
    data = connection.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16)
    return socket.inet_ntop(socket.AF_INET, data[4:8]), int.from_bytes(data[2:4], "big")


def _prepare(sock: socket.socket, *, deaf: bool) -> None:
    if sock.type == socket.SOCK_STREAM:
        # For what is left of earlier connections; two that listen exclude each other anyway (socket(7)).
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if deaf:
        program = array.array("B", _RETURN_0)
        address, _ = program.buffer_info()
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", 1, address))


def _free_ports() -> Iterable[int]:
    """Ports above those of outgoing connections, so that none of these takes it during a restart."""
    try:
        with open(_PORT_RANGE, encoding="ascii") as file:
            lowest = int(file.read().split()[1]) + 1
    except (OSError, ValueError, IndexError):
        return ()
    ports = range(max(lowest, 1024), 65536)
    return random.sample(ports, min(_ATTEMPTS, len(ports)))
