"""Deleting tracked connections (linux/netfilter/nfnetlink_conntrack.h).

The kernel is asked for the flows of one protocol only (CTA_FILTER, Linux 5.8; an older one returns all,
which only takes longer): on a busy host most flows are tcp, which is rarely deleted.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from linkspan.cni.addresses import Family
from linkspan.host.linux.errors import kernel_errors
from linkspan.host.linux.netlink.attributes import attribute, nested, network_number, parse, u32
from linkspan.host.linux.netlink.client import NETLINK_NETFILTER, Netlink, Request, nfgenmsg
from linkspan.netfilter.rules import Flow

_NFNL_SUBSYS_CTNETLINK, _GET, _DELETE = 1 << 8, 1, 2
_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY, _CTA_FILTER = 1, 2, 25
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_CTA_PROTO_NUM, _CTA_PROTO_DST_PORT = 1, 3
_CTA_FILTER_ORIG_FLAGS, _CTA_FILTER_REPLY_FLAGS = 1, 2
#: CTA_FILTER_F_CTA_PROTO_NUM and _DST_PORT of net/netfilter/nf_conntrack_netlink.c, which no header names.
_BY_PROTOCOL, _BY_PORT = 1 << 3, 1 << 5
#: CTA_IP_V4_SRC and CTA_IP_V4_DST, and those of IPv6.
_ADDRESSES: dict[Family, tuple[int, int]] = {4: (1, 2), 6: (3, 4)}
_FAMILY: dict[Family, int] = {4: socket.AF_INET, 6: socket.AF_INET6}
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP}
_HEADER = 4  # size of struct nfgenmsg
#: A kernel without connection tracking: no netlink protocol, or no such subsystem in it (nfnetlink_rcv_msg).
_NO_CONNTRACK = (errno.EPROTONOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP)


@dataclass(frozen=True, slots=True)
class Tracked:
    """A tracked flow, identified by `original`: its tuple of that direction as the kernel wrote it."""

    original: bytes
    protocol: int
    to_port: int
    to_address: str
    reply_from: str


class LinuxConntrack:
    """The contract's Conntrack, of the network namespace in which this object is first used."""

    def __init__(self) -> None:
        self._netlink = Netlink(NETLINK_NETFILTER)

    def close(self) -> None:
        """Close the socket; the next use opens another."""
        self._netlink.close()

    def flush(self, flows: Iterable[Flow]) -> int:
        """See contract.Conntrack. One dump for each address family and protocol."""
        groups: dict[tuple[Family, str], list[Flow]] = {}
        for flow in flows:
            groups.setdefault((flow.family, flow.protocol), []).append(flow)
        with kernel_errors("delete tracked connections", absent=_NO_CONNTRACK):
            return sum(self._flush(family, protocol, each) for (family, protocol), each in groups.items())
        return 0

    def _flush(self, family: Family, protocol: str, flows: list[Flow]) -> int:
        request = list_flows(family, protocol, {flow.to_port for flow in flows})
        tracked = [read_flow(family, each) for each in self._netlink.dump(request)]
        return sum(
            self._delete(family, each) for each in tracked if any(matches(flow, each) for flow in flows)
        )

    def _delete(self, family: Family, tracked: Tracked) -> int:
        """Delete one flow; 0 if it has ended meanwhile."""
        with kernel_errors("delete a tracked connection", absent=(errno.ENOENT,)):
            self._netlink.do(_request(family, _DELETE, nested(_CTA_TUPLE_ORIG, tracked.original)))
            return 1
        return 0


def list_flows(family: Family, protocol: str, ports: set[int]) -> Request:
    """Dump the flows of a protocol; if `ports` is one port other than 0, those to that port only."""
    (port,) = ports if len(ports) == 1 else (0,)
    selected = attribute(_CTA_PROTO_NUM, bytes([_PROTOCOLS[protocol]]))
    flags = _BY_PROTOCOL
    if port:
        selected += attribute(_CTA_PROTO_DST_PORT, port.to_bytes(2, "big"))
        flags |= _BY_PORT
    return _request(
        family,
        _GET,
        nested(_CTA_TUPLE_ORIG, nested(_CTA_TUPLE_PROTO, selected)),
        nested(_CTA_FILTER, u32(_CTA_FILTER_ORIG_FLAGS, flags), u32(_CTA_FILTER_REPLY_FLAGS, 0)),
    )


def read_flow(family: Family, payload: bytes) -> Tracked:
    """The flow that one message of a dump describes."""
    source, destination = _ADDRESSES[family]
    found = parse(payload, _HEADER)
    original, reply = parse(found[_CTA_TUPLE_ORIG]), parse(found[_CTA_TUPLE_REPLY])
    proto = parse(original[_CTA_TUPLE_PROTO])
    return Tracked(
        original=found[_CTA_TUPLE_ORIG],
        protocol=proto[_CTA_PROTO_NUM][0],
        to_port=network_number(proto.get(_CTA_PROTO_DST_PORT)),
        to_address=socket.inet_ntop(_FAMILY[family], parse(original[_CTA_TUPLE_IP])[destination]),
        reply_from=socket.inet_ntop(_FAMILY[family], parse(reply[_CTA_TUPLE_IP])[source]),
    )


def matches(flow: Flow, tracked: Tracked) -> bool:
    """Whether every field of `flow` that is set is that of the tracked flow."""
    return (
        tracked.protocol == _PROTOCOLS.get(flow.protocol)
        and flow.to_port in (0, tracked.to_port)
        and flow.to_address in ("", tracked.to_address)
        and flow.reply_from in ("", tracked.reply_from)
    )


def _request(family: Family, message: int, *attributes: bytes) -> Request:
    return Request(_NFNL_SUBSYS_CTNETLINK | message, nfgenmsg(_FAMILY[family]) + b"".join(attributes))
