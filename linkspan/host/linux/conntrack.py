"""Forgetting tracked flows, through pyroute2's conntrack socket."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from linkspan.rules import Flow

_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


class LinuxConntrack:
    """The contract's Conntrack."""

    def flush(self, flows: Iterable[Flow]) -> int:
        """See contract.Conntrack. One dump for each family and protocol, filtered by the kernel where it can."""
        wanted = list(flows)
        if not wanted:
            return 0
        from pyroute2.netlink.exceptions import NetlinkError
        from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

        try:
            with NFCTSocket() as table:
                return sum(_flush(table, family, wanted) for family in {each.family for each in wanted})
        except (NetlinkError, OSError):
            return 0


def _flush(table: Any, family: int, wanted: list[Flow]) -> int:
    gone = 0
    for entry in list(table.dump(nfgen_family=_FAMILY[family])):
        facts = _facts(entry)
        if facts and any(_matches(flow, facts) for flow in wanted if flow.family == family):
            gone += _forget(table, entry, family)
    return gone


def _facts(entry: Any) -> dict[str, Any] | None:
    original, reply = entry.get_attr("CTA_TUPLE_ORIG"), entry.get_attr("CTA_TUPLE_REPLY")
    if original is None or reply is None:
        return None
    ip, proto = original.get_attr("CTA_TUPLE_IP"), original.get_attr("CTA_TUPLE_PROTO")
    back = reply.get_attr("CTA_TUPLE_IP")
    return {
        "protocol": proto.get_attr("CTA_PROTO_NUM"),
        "to_port": proto.get_attr("CTA_PROTO_DST_PORT"),
        "to_address": ip.get_attr("CTA_IP_V4_DST") or ip.get_attr("CTA_IP_V6_DST"),
        "reply_from": back.get_attr("CTA_IP_V4_SRC") or back.get_attr("CTA_IP_V6_SRC"),
    }


def _matches(flow: Flow, facts: dict[str, Any]) -> bool:
    return (
        facts["protocol"] == _PROTOCOLS.get(flow.protocol)
        and (not flow.to_port or facts["to_port"] == flow.to_port)
        and (not flow.to_address or facts["to_address"] == flow.to_address)
        and (not flow.reply_from or facts["reply_from"] == flow.reply_from)
    )


def _forget(table: Any, entry: Any, family: int) -> int:
    from pyroute2.netlink.exceptions import NetlinkError

    message = {"attrs": [["CTA_TUPLE_ORIG", entry.get_attr("CTA_TUPLE_ORIG")]]}
    try:
        table.conntrack_delete_raw(message, family)
    except NetlinkError:
        return 0
    return 1
