"""What the kernel announces of itself: transactions of nf_tables, and changes of addresses, links and
forwarding.

The sockets are pyroute2's, which knows protocols and groups. Their messages are read here: pyroute2 decodes
each of them completely, 0.5 ms a message, and a flushed ruleset is announced with one for every rule and
element. Only which table, which kind, and by whom is of interest.

Sources: linux/netfilter/nf_tables.h, linux/rtnetlink.h, linux/if_addr.h, linux/netconf.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from linkspan.host.linux.netlink.attributes import network_number, pairs, parse, string
from linkspan.host.linux.netlink.client import messages

_NFTABLES = 10  # NFNL_SUBSYS_NFTABLES
_GROUP_NFTABLES = 7  # NFNLGRP_NFTABLES
#: NFT_MSG_ of what may take something of ours away: DEL of tables, chains, rules, sets and elements. A
#: chain of iptables that is new may have another policy.
_NEWCHAIN, _NEWGEN = 3, 15
_LOSSES = frozenset({2, 5, 8, 11, 14})
_OF_IPTABLES = frozenset({2, 10})
_TABLE_NAME = 1  # of every message with a table: NFTA_TABLE_NAME, NFTA_CHAIN_TABLE and so on
_GEN_PID, _GEN_NAME = 2, 3
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_NFGENMSG = 4

#: RTNLGRP_ LINK, IPV4_IFADDR, IPV6_IFADDR, IPV4_NETCONF, IPV6_NETCONF.
_ROUTE_GROUPS = (1, 5, 9, 24, 25)
_RTM_DELLINK, _RTM_DELADDR, _RTM_NEWNETCONF = 17, 21, 80
_IFINFOMSG, _NETCONFMSG = 16, 4
_IFLA_LINKINFO, _IFLA_INFO_KIND = 18, 1
_IFADDRMSG = struct.Struct("=BBBBI")
_SCOPE_LINK = 253
_NETCONFA_IFINDEX, _NETCONFA_FORWARDING = 1, 2
_ALL_INTERFACES = b"\xff\xff\xff\xff"

_SO_RCVBUFFORCE = 33
_BUFFER = 1 << 21
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1


def open_sockets() -> tuple[socket.socket, socket.socket]:
    """Sockets that receive what nf_tables and rtnetlink announce. Raises OSError, ImportError.

    It imports pyroute2, which takes 0.15 s and 24 MB: call it in a process that ends.
    """
    from pyroute2.netlink.nfnetlink.nftsocket import NFTSocket
    from pyroute2.netlink.rtnl.iprsocket import IPRSocket

    rules, routes = NFTSocket(), IPRSocket()
    rules.bind(groups=1 << (_GROUP_NFTABLES - 1))
    routes.bind(groups=0)
    opened = tuple(_own(each.fileno()) for each in (rules, routes))
    for group in _ROUTE_GROUPS:
        opened[1].setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    return opened[0], opened[1]


def _own(descriptor: int) -> socket.socket:
    """A socket of our own for one of pyroute2's, with room for what a big flush announces."""
    made = socket.socket(fileno=os.dup(descriptor))
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    return made


@dataclass(frozen=True, slots=True)
class Commit:
    """A transaction of nf_tables: who made it, and the tables that it may have taken something from.

    Tables are called as nft does, such as "inet linkspan". `program` is the first 15 bytes of its name.
    """

    pid: int
    program: str
    tables: frozenset[str]


class Commits:
    """Puts the messages of transactions together: each ends with a new generation."""

    def __init__(self) -> None:
        self._tables: set[str] = set()

    def of(self, datagram: bytes) -> Iterator[Commit]:
        """The transactions that end in a datagram."""
        for message in messages(datagram):
            kind = message.kind & 0xFF
            if message.kind >> 8 != _NFTABLES:
                continue
            if kind == _NEWGEN:
                tables, self._tables = frozenset(self._tables), set()
                found = parse(message.payload, _NFGENMSG)
                yield Commit(network_number(found.get(_GEN_PID)), string(found.get(_GEN_NAME)), tables)
            elif kind in _LOSSES or (kind == _NEWCHAIN and message.payload[0] in _OF_IPTABLES):
                self._tables.add(_table(message.payload))


def _table(payload: bytes) -> str:
    for kind, value in pairs(payload, _NFGENMSG):
        if kind == _TABLE_NAME:
            return f"{_FAMILIES.get(payload[0], payload[0])} {string(value)}"
    return ""


def concerns_bridges(datagram: bytes) -> bool:
    """Whether rtnetlink announces that an address, a bridge or forwarding may be gone."""
    return any(_concerns(message.kind, message.payload) for message in messages(datagram))


def _concerns(kind: int, payload: bytes) -> bool:
    if kind == _RTM_DELADDR and len(payload) >= _IFADDRMSG.size:
        return bool(_IFADDRMSG.unpack_from(payload)[3] < _SCOPE_LINK)
    if kind == _RTM_DELLINK:
        info = parse(payload, _IFINFOMSG).get(_IFLA_LINKINFO)
        return info is not None and string(parse(info).get(_IFLA_INFO_KIND)) == "bridge"
    if kind == _RTM_NEWNETCONF:
        found = parse(payload, _NETCONFMSG)
        return found.get(_NETCONFA_IFINDEX) == _ALL_INTERFACES and _NETCONFA_FORWARDING in found
    return False
