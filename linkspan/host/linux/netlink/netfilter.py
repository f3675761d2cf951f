"""Questions to nf_tables about sets and chains (linux/netfilter/nf_tables.h).

libnftables can answer them too, but first fetches every element of every set.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from linkspan.host.linux.errors import kernel_errors
from linkspan.host.linux.netlink.attributes import Attributes, attribute, nested, network_number, parse, text
from linkspan.host.linux.netlink.client import (
    NETLINK_NETFILTER,
    Netlink,
    Request,
    nfgenmsg,
)
from linkspan.host.linux.netlink.nft_types import (
    Unsupported,
    comment_in,
    data_types,
    decode_data,
    encode_key,
)
from linkspan.netfilter.nft_text import TABLE
from linkspan.netfilter.rules import Element

_NFNL_SUBSYS_NFTABLES = 10 << 8
_GETCHAIN, _GETRULE, _GETSET, _GETSETELEM, _GETGEN = 4, 7, 10, 13, 16  # NFT_MSG_
_NFPROTO = {"inet": 1, "ip": 2, "ip6": 10}
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_POLICY = 1, 3, 5
_NF_DROP = 0
_RULE_TABLE, _RULE_CHAIN = 1, 2
_SET_TABLE, _SET_NAME, _SET_FLAGS, _SET_KEY_TYPE, _SET_DATA_TYPE = 1, 2, 3, 4, 6
_SET_INTERVAL = 0x4
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS, _LIST_ELEM = 1, 2, 3, 1
_ELEM_KEY, _ELEM_DATA, _ELEM_USERDATA = 1, 2, 6
_DATA_VALUE = 1
_HEADER = 4  # size of struct nfgenmsg
#: A kernel without nf_tables: no netlink protocol, or no such subsystem in it (nfnetlink_rcv_msg).
_NO_NF_TABLES = (errno.EPROTONOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP)


@dataclass(frozen=True, slots=True)
class _SetTypes:
    """The data types of a set's key and, for a map, of its value."""

    key: tuple[int, ...]
    value: tuple[int, ...]


class NfTables:
    """nf_tables of the network namespace in which this object is first used.

    Every method raises KernelRefused.

    Table names are nft's: family and name, such as "ip nat".
    """

    def __init__(self) -> None:
        self._netlink = Netlink(NETLINK_NETFILTER)

    def close(self) -> None:
        """Close the socket; the next use opens another."""
        self._netlink.close()

    def available(self) -> bool:
        """Whether this kernel has nf_tables."""
        with kernel_errors("read its nftables ruleset", absent=_NO_NF_TABLES):
            self._netlink.get(_request(_GETGEN, "inet"))
            return True
        return False

    def element(self, name: str, key: tuple[str, ...]) -> Element | None:
        """An element of a set or map of ours; None if it, its set or the table does not exist.

        Raises Unsupported.
        """
        types = self._set_types(name)
        if types is None:
            return None
        expected = nested(_ELEM_KEY, attribute(_DATA_VALUE, encode_key(types.key, key)))
        family, _, table = TABLE.partition(" ")
        found = self._get(
            _request(
                _GETSETELEM,
                family,
                text(_LIST_TABLE, table),
                text(_LIST_SET, name),
                nested(_LIST_ELEMENTS, nested(_LIST_ELEM, expected)),
            )
        )
        if found is None:
            return None
        element = parse(parse(found[_LIST_ELEMENTS])[_LIST_ELEM])
        value = decode_data(types.value, element[_ELEM_DATA]) if _ELEM_DATA in element else ""
        return Element(name=name, key=key, value=value, comment=comment_in(element.get(_ELEM_USERDATA, b"")))

    def rule_count(self, chain: str) -> int:
        """How many rules a chain of ours has; 0 also if there is no such chain."""
        family, _, table = TABLE.partition(" ")
        request = _request(_GETRULE, family, text(_RULE_TABLE, table), text(_RULE_CHAIN, chain))
        with kernel_errors(f"count the rules of {chain}", absent=(errno.ENOENT,)):
            return len(self._netlink.dump(request))
        return 0

    def drops(self, table: str, chain: str) -> bool:
        """Whether the policy of a base chain is drop; False if there is no such chain."""
        found = self._chain(table, chain) or {}
        return _CHAIN_POLICY in found and network_number(found[_CHAIN_POLICY]) == _NF_DROP

    def has_chain(self, table: str, chain: str) -> bool:
        """Whether there is a table with this chain."""
        return self._chain(table, chain) is not None

    def _chain(self, table: str, chain: str) -> Attributes | None:
        family, _, name = table.partition(" ")
        return self._get(_request(_GETCHAIN, family, text(_CHAIN_TABLE, name), text(_CHAIN_NAME, chain)))

    def _set_types(self, name: str) -> _SetTypes | None:
        family, _, table = TABLE.partition(" ")
        found = self._get(_request(_GETSET, family, text(_SET_TABLE, table), text(_SET_NAME, name)))
        if found is None:
            return None
        if network_number(found.get(_SET_FLAGS)) & _SET_INTERVAL:
            raise Unsupported(name)
        value = network_number(found.get(_SET_DATA_TYPE))
        return _SetTypes(data_types(network_number(found[_SET_KEY_TYPE])), data_types(value))

    def _get(self, request: Request) -> Attributes | None:
        """The attributes of the one answer; None if what is asked for is absent."""
        with kernel_errors("read its nftables ruleset", absent=(errno.ENOENT,)):
            return parse(self._netlink.get(request), _HEADER)
        return None


def _request(message: int, family: str, *attributes: bytes) -> Request:
    return Request(_NFNL_SUBSYS_NFTABLES | message, nfgenmsg(_NFPROTO[family]) + b"".join(attributes))
