"""Keys and values of nftables sets, as nft writes them and as the kernel keeps them. Pure.

Numbers of data types: nft's include/datatype.h, which are part of its interface with the kernel; those of
verdicts: linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from linkspan.host.linux.netlink.attributes import network_number, parse, string

_IPV4, _IPV6, _PROTOCOL, _PORT, _IFNAME = 7, 8, 12, 13, 41
_SIZES = {_IPV4: 4, _IPV6: 16, _PROTOCOL: 1, _PORT: 2, _IFNAME: 16}
_FAMILY = {_IPV4: socket.AF_INET, _IPV6: socket.AF_INET6}
_PROTOCOL_NAMES = {6: "tcp", 17: "udp", 132: "sctp"}
_TYPE_BITS = 6
_VERDICT_TYPE = 0xFFFFFF00
_VERDICTS = {0: "drop", 1: "accept", -1: "continue", -3: "jump", -4: "goto", -5: "return"}
_DATA_VALUE, _DATA_VERDICT = 1, 2
_VERDICT_CODE, _VERDICT_CHAIN = 1, 2
_COMMENT = 0  # NFTNL_UDATA_SET_ELEM_COMMENT of libnftnl


class Unsupported(Exception):
    """A key or value of an interval, or of a data type that this module does not know."""


def data_types(number: int) -> tuple[int, ...]:
    """The parts of a data type: a concatenation has six bits for each, the last part lowest."""
    if number == _VERDICT_TYPE:
        return (_VERDICT_TYPE,)
    parts: list[int] = []
    while number:
        parts.insert(0, number & ((1 << _TYPE_BITS) - 1))
        number >>= _TYPE_BITS
    return tuple(parts)


def encode_key(types: tuple[int, ...], key: tuple[str, ...]) -> bytes:
    """A key as the kernel has it. Raises Unsupported."""
    if len(types) != len(key):
        raise Unsupported(key)
    parts = [_encode(kind, part.strip().strip('"')) for kind, part in zip(types, key, strict=True)]
    # In a concatenation each part fills whole registers of 32 bits.
    return parts[0] if len(parts) == 1 else b"".join(part + bytes(-len(part) % 4) for part in parts)


def decode_data(types: tuple[int, ...], data: bytes) -> str:
    """The value of a map's element (NFTA_SET_ELEM_DATA) as nft prints it. Raises Unsupported."""
    found = parse(data)
    if types == (_VERDICT_TYPE,):
        return _decode_verdict(found[_DATA_VERDICT])
    return " . ".join(_decode_parts(types, found[_DATA_VALUE]))


def comment_in(userdata: bytes) -> str:
    """The comment in an element's user data (entries of type, length and bytes); "" if there is none."""
    at = 0
    while at + 2 <= len(userdata):
        kind, length = userdata[at], userdata[at + 1]
        if kind == _COMMENT:
            return userdata[at + 2 : at + 2 + length].rstrip(b"\0").decode(errors="replace")
        at += 2 + length
    return ""


def _encode(kind: int, text: str) -> bytes:
    try:
        if kind in _FAMILY:
            return socket.inet_pton(_FAMILY[kind], text)
        if kind == _PROTOCOL:
            return bytes([int(text) if text.isdigit() else socket.getprotobyname(text)])
        if kind == _PORT:
            return int(text).to_bytes(2, "big")
        if kind == _IFNAME:
            return struct.pack("16s", text.encode())
    except (OSError, ValueError, OverflowError):
        pass
    raise Unsupported(text)


def _decode_verdict(data: bytes) -> str:
    found = parse(data)
    word = _VERDICTS[struct.unpack("!i", found[_VERDICT_CODE])[0]]
    chain = string(found.get(_VERDICT_CHAIN))
    return f"{word} {chain}" if chain else word


def _decode_parts(types: tuple[int, ...], data: bytes) -> Iterator[str]:
    for kind in types:
        if kind not in _SIZES:
            raise Unsupported(kind)
        size = _SIZES[kind]
        yield _decode(kind, data[:size])
        data = data[size + -size % 4 :]


def _decode(kind: int, data: bytes) -> str:
    if kind in _FAMILY:
        return socket.inet_ntop(_FAMILY[kind], data)
    if kind == _IFNAME:
        return f'"{string(data)}"'
    if kind == _PROTOCOL:
        return _PROTOCOL_NAMES.get(data[0], str(data[0]))
    return str(network_number(data))
