"""Which ports have a listener (sock_diag(7), linux/inet_diag.h).

This takes 0.03 ms, where reading /proc/net/tcp takes a millisecond.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Collection

from linkspan.host.linux.errors import kernel_errors
from linkspan.host.linux.netlink.client import NETLINK_SOCK_DIAG, Netlink, Request

_SOCK_DIAG_BY_FAMILY = 20
#: The state of a socket that accepts from anybody (net/tcp_states.h): TCP_LISTEN, and for udp, which has
#: none, TCP_CLOSE.
_LISTENING = {"tcp": 10, "udp": 7, "sctp": 10}
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP}
#: struct inet_diag_req_v2: family, protocol, bit mask of states, and a socket of zeros.
_REQUEST = struct.Struct("=BBxxI48x")
#: struct inet_diag_msg as far as its ports: local, remote.
_PORTS = struct.Struct("!4xHH")


class Listeners:
    """The listening sockets of the network namespace in which this object is first used."""

    def __init__(self) -> None:
        self._netlink = Netlink(NETLINK_SOCK_DIAG)

    def close(self) -> None:
        """Close the socket; the next use opens another."""
        self._netlink.close()

    def among(self, protocol: str, ports: Collection[int]) -> frozenset[int]:
        """Those of the ports that have a listener, on whatever address.

        A protocol that this kernel cannot list (sctp without its module) has none. Raises KernelRefused.
        """
        found = (*self._all(socket.AF_INET, protocol), *self._all(socket.AF_INET6, protocol))
        return frozenset(port for port in found if port in ports)

    def _all(self, family: int, protocol: str) -> list[int]:
        with kernel_errors(f"list {protocol} sockets", absent=(errno.ENOENT,)):
            return [read_port(each) for each in self._netlink.dump(list_listeners(family, protocol))]
        return []


def list_listeners(family: int, protocol: str) -> Request:
    """Dump the sockets of a family and protocol that are in the state of a listener."""
    return Request(
        _SOCK_DIAG_BY_FAMILY, _REQUEST.pack(family, _PROTOCOLS[protocol], 1 << _LISTENING[protocol])
    )


def read_port(payload: bytes) -> int:
    """The port of a listener; 0 for a connected socket, which a udp one in that state may be."""
    local, remote = _PORTS.unpack_from(payload)
    return 0 if remote else int(local)
