"""One element of a set or map, or how many rules a chain has, asked of the kernel.

libnftables can do this too, but fetches all elements of all sets before. Messages: linux/netfilter/nf_tables.h
(NFT_MSG_GETSET, NFT_MSG_GETSETELEM, NFT_MSG_GETRULE, NFT_MSG_GETCHAIN); numbers of data types: nft's include/datatype.h, which are
part of its interface with the kernel.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from linkspan.cni.errors import KernelRefused
from linkspan.netfilter.rules import Element

_NETLINK_NETFILTER, _NFTABLES, _NFPROTO_INET = 12, 10, 1
_NFPROTO = {"inet": _NFPROTO_INET, "ip": 2, "ip6": 10}
_NLM_F_REQUEST, _NLM_F_DUMP, _NLM_F_DUMP_INTR, _NLMSG_ERROR, _NLMSG_DONE = 1, 0x300, 0x10, 2, 3
_GET_CHAIN, _GET_RULE, _GET_SET, _GET_ELEMENT, _GET_GENERATION = 4, 7, 10, 13, 16
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_POLICY = 1, 3, 5
_RULE_TABLE, _RULE_CHAIN = 1, 2
_DROP = 0
_SET_TABLE, _SET_NAME, _SET_FLAGS, _SET_KEY_TYPE, _SET_DATA_TYPE = 1, 2, 3, 4, 6
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_ELEMENT, _KEY, _DATA, _USERDATA = 1, 1, 2, 6
_VALUE, _VERDICT = 1, 2
_VERDICT_CODE, _VERDICT_CHAIN = 1, 2
_NESTED = 0x8000
_INTERVAL = 0x4
_COMMENT = 0
_ANSWER = 1 << 16

_IPV4, _IPV6, _PROTOCOL, _PORT, _IFNAME = 7, 8, 12, 13, 41
_SIZES = {_IPV4: 4, _IPV6: 16, _PROTOCOL: 1, _PORT: 2, _IFNAME: 16}
_VERDICT_TYPE = 0xFFFFFF00
_VERDICTS = {0: "drop", 1: "accept", -1: "continue", -3: "jump", -4: "goto", -5: "return"}


class Unsupported(Exception):
    """This module cannot write the key, or read the value: an interval, or a data type that it does not know."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """The data types of a set's key and, for a map, of its value."""

    key: tuple[int, ...]
    value: tuple[int, ...]


class Lookup:
    """A netlink socket of the network namespace in which it is made."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER
        )
        self._socket.settimeout(5)
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def element(self, name: str, key: tuple[str, ...]) -> Element | None:
        """The element, or None when it, its set or the table is absent. Raises Unsupported, KernelRefused."""
        kind = self._kind(name)
        if kind is None:
            return None
        request = _text(_LIST_TABLE, "linkspan") + _text(_LIST_SET, name)
        asked = _nest(_KEY, _attribute(_VALUE, _encode(kind.key, key)))
        answer = self._ask(_GET_ELEMENT, request + _nest(_LIST_ELEMENTS, _nest(_ELEMENT, asked)))
        if answer is None:
            return None
        found = dict(_attributes(dict(_attributes(dict(_attributes(answer))[_LIST_ELEMENTS]))[_ELEMENT]))
        value = _decode(kind.value, found[_DATA]) if _DATA in found else ""
        return Element(name=name, key=key, value=value, comment=_comment(found.get(_USERDATA, b"")))

    def answers(self) -> bool:
        """Whether this kernel has nftables and lets us ask."""
        try:
            return self._ask(_GET_GENERATION, b"") is not None
        except KernelRefused:
            return False

    def count(self, chain: str) -> int:
        """How many rules a chain of our table has, 0 also without such a chain. Raises KernelRefused."""
        request = _text(_RULE_TABLE, "linkspan") + _text(_RULE_CHAIN, chain)
        while (found := self._count(request)) is None:
            pass
        return found

    def drops(self, table: str, chain: str) -> bool:
        """Whether a base chain of a table such as "ip filter" drops what its rules leave undecided. False without such a chain."""
        answer = self._chain(table, chain)
        policy = dict(_attributes(answer or b"")).get(_CHAIN_POLICY)
        return policy is not None and _number(policy) == _DROP

    def has_chain(self, table: str, chain: str) -> bool:
        """Whether there is a table, by family and name ("ip nat"), with this chain."""
        return self._chain(table, chain) is not None

    def _chain(self, table: str, chain: str) -> bytes | None:
        family, _, name = table.partition(" ")
        request = _text(_CHAIN_TABLE, name) + _text(_CHAIN_NAME, chain)
        return self._ask(_GET_CHAIN, request, _NFPROTO[family])

    def _count(self, request: bytes) -> int | None:
        """The length of a dump of rules, None if the rules changed meanwhile."""
        self._send(_GET_RULE, _NLM_F_REQUEST | _NLM_F_DUMP, request)
        count, disturbed = 0, False
        for kind, flags, body in self._answers():
            disturbed |= bool(flags & _NLM_F_DUMP_INTR)
            if kind == _NLMSG_DONE:
                break
            if kind == _NLMSG_ERROR:
                raise _refused(-struct.unpack_from("=i", body)[0])
            count += 1
        return None if disturbed else count

    def _kind(self, name: str) -> _Kind | None:
        answer = self._ask(_GET_SET, _text(_SET_TABLE, "linkspan") + _text(_SET_NAME, name))
        if answer is None:
            return None
        found = dict(_attributes(answer))
        if _number(found.get(_SET_FLAGS, bytes(4))) & _INTERVAL:
            raise Unsupported(name)
        return _Kind(
            _types(_number(found[_SET_KEY_TYPE])), _types(_number(found.get(_SET_DATA_TYPE, bytes(4))))
        )

    def _ask(self, message: int, body: bytes, family: int = _NFPROTO_INET) -> bytes | None:
        """The attributes of the one answer, None for ENOENT."""
        self._send(message, _NLM_F_REQUEST, body, family)
        kind, _, answer = next(self._answers())
        if kind != _NLMSG_ERROR:
            return answer[4:]
        number = -struct.unpack_from("=i", answer)[0]
        if number == errno.ENOENT:
            return None
        raise _refused(number)

    def _send(self, message: int, flags: int, body: bytes, family: int = _NFPROTO_INET) -> None:
        self._sequence += 1
        payload = struct.pack("!BBH", family, 0, 0) + body
        kind = _NFTABLES << 8 | message
        header = struct.pack("=IHHII", 16 + len(payload), kind, flags, self._sequence, 0)
        try:
            self._socket.send(header + payload)
        except OSError as error:
            raise _refused(error.errno or errno.EIO) from None

    def _answers(self) -> Iterator[tuple[int, int, bytes]]:
        """(type, flags, what follows the header) of the messages that answer the last request."""
        while True:
            try:
                data = self._socket.recv(_ANSWER)
            except OSError as error:
                raise _refused(error.errno or errno.ETIMEDOUT) from None
            for kind, flags, sequence, body in _messages(data):
                if sequence == self._sequence:  # others are of a request that was given up
                    yield kind, flags, body


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(type, flags, sequence number, what follows the header) of each netlink message."""
    at = 0
    while at + 16 <= len(data):
        length, kind, flags, sequence = struct.unpack_from("=IHHI", data, at)
        yield kind, flags, sequence, data[at + 16 : at + length]
        at += length + -length % 4


def _refused(number: int) -> KernelRefused:
    return KernelRefused("look up a packet rule", number, os.strerror(number))


# --- attributes ------------------------------------------------------------------------------------------------


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _nest(kind: int, data: bytes) -> bytes:
    return _attribute(kind | _NESTED, data)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += length + -length % 4


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


# --- keys and values -------------------------------------------------------------------------------------------


def _types(number: int) -> tuple[int, ...]:
    """The parts of a data type: a concatenation holds them in six bits each, the last part lowest."""
    if number == _VERDICT_TYPE:
        return (_VERDICT_TYPE,)
    parts: list[int] = []
    while number:
        parts.insert(0, number & 0x3F)
        number >>= 6
    return tuple(parts)


def _encode(types: tuple[int, ...], key: tuple[str, ...]) -> bytes:
    if len(types) != len(key):
        raise Unsupported(key)
    parts = [_encode_part(kind, part.strip().strip('"')) for kind, part in zip(types, key, strict=True)]
    # In a concatenation each part fills whole registers of 32 bits.
    return parts[0] if len(parts) == 1 else b"".join(part + bytes(-len(part) % 4) for part in parts)


def _encode_part(kind: int, text: str) -> bytes:
    try:
        if kind in (_IPV4, _IPV6):
            return socket.inet_pton(socket.AF_INET if kind == _IPV4 else socket.AF_INET6, text)
        if kind == _PROTOCOL:
            return bytes([int(text) if text.isdigit() else socket.getprotobyname(text)])
        if kind == _PORT:
            return int(text).to_bytes(2, "big")
        if kind == _IFNAME:
            return struct.pack("16s", text.encode())
    except (OSError, ValueError, OverflowError):
        pass
    raise Unsupported(text)


def _decode(types: tuple[int, ...], data: bytes) -> str:
    found = dict(_attributes(data))
    if types == (_VERDICT_TYPE,):
        return _decode_verdict(found[_VERDICT])
    return " . ".join(_decode_parts(types, found[_VALUE]))


def _decode_verdict(data: bytes) -> str:
    found = dict(_attributes(data))
    word = _VERDICTS[struct.unpack("!i", found[_VERDICT_CODE])[0]]
    chain = found.get(_VERDICT_CHAIN, b"").rstrip(b"\0").decode()
    return f"{word} {chain}" if chain else word


def _decode_parts(types: tuple[int, ...], data: bytes) -> Iterator[str]:
    for kind in types:
        if kind not in _SIZES:
            raise Unsupported(kind)
        size = _SIZES[kind]
        yield _decode_part(kind, data[:size])
        data = data[size + -size % 4 :]


def _decode_part(kind: int, data: bytes) -> str:
    if kind in (_IPV4, _IPV6):
        return socket.inet_ntop(socket.AF_INET if kind == _IPV4 else socket.AF_INET6, data)
    if kind == _IFNAME:
        return f'"{data.rstrip(bytes(1)).decode()}"'
    if kind == _PROTOCOL:
        return _protocol_name(data[0])
    return str(_number(data))


def _protocol_name(number: int) -> str:
    names = {
        getattr(socket, name): name[8:].lower() for name in ("IPPROTO_TCP", "IPPROTO_UDP", "IPPROTO_SCTP")
    }
    return names.get(number, str(number))


def _comment(userdata: bytes) -> str:
    """The comment among an element's user data, which are entries of type, length and bytes."""
    at = 0
    while at + 2 <= len(userdata):
        kind, length = userdata[at], userdata[at + 1]
        if kind == _COMMENT:
            return userdata[at + 2 : at + 2 + length].rstrip(b"\0").decode(errors="replace")
        at += 2 + length
    return ""
