"""Forgetting tracked flows. Messages and attributes: linux/netfilter/nfnetlink_conntrack.h.

The kernel is asked for flows of one protocol only (CTA_FILTER, Linux 5.8; an older one tells of all, which costs time and no more):
on a busy host most flows are tcp, which nobody asks us to forget.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from linkspan.netfilter.rules import Family, Flow

_NETLINK_NETFILTER, _CTNETLINK, _GET, _DELETE = 12, 1 << 8, 1, 2
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP = 0x1, 0x4, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_ORIGINAL, _REPLY, _FILTER = 1, 2, 25
_IP, _PROTO = 1, 2
_NUMBER, _TO_PORT = 1, 3
_FILTER_ORIGINAL, _FILTER_REPLY = 1, 2
#: CTA_FILTER_F_CTA_PROTO_NUM and _DST_PORT of net/netfilter/nf_conntrack_netlink.c, which no header names.
_BY_NUMBER, _BY_TO_PORT = 1 << 3, 1 << 5
_NESTED = 0x8000
_ANSWER = 1 << 18

_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_FAMILY: dict[Family, int] = {4: socket.AF_INET, 6: socket.AF_INET6}
#: CTA_IP_V4_SRC, CTA_IP_V4_DST, and those of IPv6
_ADDRESSES: dict[Family, tuple[int, int]] = {4: (1, 2), 6: (3, 4)}


@dataclass(frozen=True, slots=True)
class _Tracked:
    """A flow the kernel tracks; `original` is its tuple as the kernel wrote it, which names it."""

    original: bytes
    protocol: int
    to_port: int
    to_address: str
    reply_from: str


class LinuxConntrack:
    """The contract's Conntrack, of the calling thread's network namespace."""

    def flush(self, flows: Iterable[Flow]) -> int:
        """See contract.Conntrack. One dump for each address family and protocol."""
        groups: dict[tuple[Family, str], list[Flow]] = {}
        for flow in flows:
            groups.setdefault((flow.family, flow.protocol), []).append(flow)
        try:
            return sum(_flush(family, protocol, wanted) for (family, protocol), wanted in groups.items())
        except OSError:
            return 0


def _flush(family: Family, protocol: str, wanted: list[Flow]) -> int:
    with closing(
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    ) as table:
        table.settimeout(5)
        ports = {flow.to_port for flow in wanted}
        _send(table, family, _GET, _NLM_F_DUMP, _filter(_PROTOCOLS[protocol], ports))
        tracked = [_read(family, each) for each in _answers(table)]
        return sum(
            _forget(table, family, each) for each in tracked if any(_matches(flow, each) for flow in wanted)
        )


def _filter(number: int, ports: set[int]) -> bytes:
    """The attributes that narrow a dump: the protocol, and the port if it is one."""
    (port,) = ports if len(ports) == 1 else (0,)
    asked = _attribute(_NUMBER, bytes([number]))
    flags = _BY_NUMBER
    if port:
        asked += _attribute(_TO_PORT, port.to_bytes(2, "big"))
        flags |= _BY_TO_PORT
    original = _attribute(_ORIGINAL | _NESTED, _attribute(_PROTO | _NESTED, asked))
    narrowed = _attribute(_FILTER_ORIGINAL, struct.pack("=I", flags)) + _attribute(
        _FILTER_REPLY, struct.pack("=I", 0)
    )
    return original + _attribute(_FILTER | _NESTED, narrowed)


def _read(family: Family, answer: bytes) -> _Tracked:
    """A flow from the attributes of one answer."""
    source, destination = _ADDRESSES[family]
    found = _attributes(answer)
    original, reply = _attributes(found[_ORIGINAL]), _attributes(found[_REPLY])
    proto = _attributes(original[_PROTO])
    return _Tracked(
        original=found[_ORIGINAL],
        protocol=proto[_NUMBER][0],
        to_port=int.from_bytes(proto.get(_TO_PORT, b""), "big"),
        to_address=socket.inet_ntop(_FAMILY[family], _attributes(original[_IP])[destination]),
        reply_from=socket.inet_ntop(_FAMILY[family], _attributes(reply[_IP])[source]),
    )


def _matches(flow: Flow, tracked: _Tracked) -> bool:
    return (
        tracked.protocol == _PROTOCOLS.get(flow.protocol)
        and flow.to_port in (0, tracked.to_port)
        and flow.to_address in ("", tracked.to_address)
        and flow.reply_from in ("", tracked.reply_from)
    )


def _forget(table: socket.socket, family: Family, tracked: _Tracked) -> int:
    """Delete one flow by its whole original tuple; 0 if it ended by itself meanwhile."""
    _send(table, family, _DELETE, _NLM_F_ACK, _attribute(_ORIGINAL | _NESTED, tracked.original))
    try:
        list(_answers(table))
    except FileNotFoundError:
        return 0
    return 1


def _send(table: socket.socket, family: Family, message: int, flags: int, body: bytes) -> None:
    payload = struct.pack("!BBH", _FAMILY[family], 0, 0) + body
    kind = _CTNETLINK | message
    table.send(struct.pack("=IHHII", 16 + len(payload), kind, _NLM_F_REQUEST | flags, 1, 0) + payload)


def _answers(table: socket.socket) -> Iterator[bytes]:
    """The attributes of each answer, up to the acknowledgement or the end of the dump. Raises OSError."""
    while True:
        data = table.recv(_ANSWER)
        at = 0
        while at + 16 <= len(data):
            length, kind = struct.unpack_from("=IH", data, at)
            if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                number = -struct.unpack_from("=i", data, at + 16)[0] if length >= 20 else 0
                if number:
                    raise OSError(number, errno.errorcode.get(number, ""))
                return
            yield data[at + 20 : at + length]
            at += length + -length % 4


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += length + -length % 4
    return found
