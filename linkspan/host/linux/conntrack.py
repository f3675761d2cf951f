"""Forgetting tracked flows, through pyroute2's conntrack socket."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from linkspan.rules import Family, Flow

_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


class LinuxConntrack:
    """The contract's Conntrack."""

    def flush(self, flows: Iterable[Flow]) -> int:
        """See contract.Conntrack. One dump for each address family."""
        wanted = list(flows)
        if not wanted:
            return 0
        from pyroute2.netlink.exceptions import NetlinkError

        try:
            return sum(
                _flush(family, [each for each in wanted if each.family == family])
                for family in sorted({each.family for each in wanted})
            )
        except (NetlinkError, OSError):
            return 0


def _flush(family: Family, wanted: list[Flow]) -> int:
    from pyroute2 import NFCTSocket

    with NFCTSocket(nfgen_family=_FAMILY[family]) as table:
        entries = list(table.dump())
        return sum(
            _forget(table, entry, family)
            for entry in entries
            if any(_matches(flow, _facts(entry, family)) for flow in wanted)
        )


def _facts(entry: Any, family: Family) -> dict[str, Any]:
    version = f"CTA_IP_V{family}"
    original, reply = entry.get_attr("CTA_TUPLE_ORIG"), entry.get_attr("CTA_TUPLE_REPLY")
    ip, proto = original.get_attr("CTA_TUPLE_IP"), original.get_attr("CTA_TUPLE_PROTO")
    return {
        "protocol": proto.get_attr("CTA_PROTO_NUM"),
        "from_port": proto.get_attr("CTA_PROTO_SRC_PORT"),
        "to_port": proto.get_attr("CTA_PROTO_DST_PORT"),
        "from_address": ip.get_attr(f"{version}_SRC"),
        "to_address": ip.get_attr(f"{version}_DST"),
        "reply_from": reply.get_attr("CTA_TUPLE_IP").get_attr(f"{version}_SRC"),
    }


def _matches(flow: Flow, facts: dict[str, Any]) -> bool:
    return (
        facts["protocol"] == _PROTOCOLS.get(flow.protocol)
        and (not flow.to_port or facts["to_port"] == flow.to_port)
        and (not flow.to_address or facts["to_address"] == flow.to_address)
        and (not flow.reply_from or facts["reply_from"] == flow.reply_from)
    )


def _forget(table: Any, entry: Any, family: Family) -> int:
    """Delete one flow by its whole original tuple; 0 if it ended by itself meanwhile."""
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple

    facts = _facts(entry, family)
    original = NFCTAttrTuple(
        family=_FAMILY[family],
        saddr=facts["from_address"],
        daddr=facts["to_address"],
        proto=facts["protocol"],
        sport=facts["from_port"],
        dport=facts["to_port"],
    )
    try:
        table.entry("del", tuple_orig=original)
    except NetlinkError:
        return 0
    return 1
