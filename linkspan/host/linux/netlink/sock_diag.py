"""Which sockets listen on a port (sock_diag(7), linux/inet_diag.h).

This takes 0.03 ms, where reading /proc/net/tcp takes a millisecond.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Collection, Iterator

from linkspan.host.contract import Listener
from linkspan.host.linux.errors import kernel_errors
from linkspan.host.linux.netlink.attributes import parse
from linkspan.host.linux.netlink.client import NETLINK_SOCK_DIAG, Netlink, Request

_SOCK_DIAG_BY_FAMILY = 20
#: The state of a socket that accepts from anybody (net/tcp_states.h): TCP_LISTEN, and for udp, which has
#: none, TCP_CLOSE.
_LISTENING = {"tcp": 10, "udp": 7, "sctp": 10}
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP}
#: struct inet_diag_req_v2: family, protocol, bit mask of states, and a socket of zeros.
_REQUEST = struct.Struct("=BBxxI48x")
#: struct inet_diag_msg: family, ports (local, remote) and local address of its socket, and its inode.
_MESSAGE = struct.Struct("=B3x4s16s44xI")
_PORTS = struct.Struct("!HH")
_INET_DIAG_SKV6ONLY = 11
_ANY_V4, _ANY_V6 = "0.0.0.0", "::"  # noqa: S104 - compared with, not listened on
_MAPPED = bytes(10) + b"\xff\xff"  # begins an IPv4 address of an IPv6 socket (RFC 4291, 2.5.5.2)


class Listeners:
    """The listening sockets of the network namespace in which this object is first used."""

    def __init__(self) -> None:
        self._netlink = Netlink(NETLINK_SOCK_DIAG)

    def close(self) -> None:
        """Close the socket; the next use opens another."""
        self._netlink.close()

    def among(self, protocol: str, ports: Collection[int]) -> tuple[Listener, ...]:
        """The listeners on these ports, on whatever address.

        A protocol that this kernel cannot list (sctp without its module) has none. Raises KernelRefused.
        """
        return (*self._all(socket.AF_INET, protocol, ports), *self._all(socket.AF_INET6, protocol, ports))

    def _all(self, family: int, protocol: str, ports: Collection[int]) -> list[Listener]:
        with kernel_errors(f"list {protocol} sockets", absent=(errno.ENOENT,)):
            return [
                listener
                for each in self._netlink.dump(list_listeners(family, protocol))
                for listener in read_listener(each, protocol, ports)
            ]
        return []


def list_listeners(family: int, protocol: str) -> Request:
    """Dump the sockets of a family and protocol that are in the state of a listener."""
    return Request(
        _SOCK_DIAG_BY_FAMILY, _REQUEST.pack(family, _PROTOCOLS[protocol], 1 << _LISTENING[protocol])
    )


def read_listener(payload: bytes, protocol: str, ports: Collection[int]) -> Iterator[Listener]:
    """The listener of a message if it is on one of the ports, two for an IPv6 socket that receives IPv4 too.

    A udp socket in that state may be connected, and so none.
    """
    family, both_ports, packed, inode = _MESSAGE.unpack_from(payload)
    port, remote = _PORTS.unpack(both_ports)
    if remote or port not in ports:
        return
    if family == socket.AF_INET:
        address = socket.inet_ntop(family, packed[:4])
    elif packed.startswith(_MAPPED):
        address = socket.inet_ntop(socket.AF_INET, packed[12:])
    else:
        address = socket.inet_ntop(family, packed)
    yield Listener(protocol=protocol, address=address, port=port, inode=inode)
    if address == _ANY_V6 and parse(payload, _MESSAGE.size).get(_INET_DIAG_SKV6ONLY) == b"\0":
        yield Listener(protocol=protocol, address=_ANY_V4, port=port, inode=inode)
