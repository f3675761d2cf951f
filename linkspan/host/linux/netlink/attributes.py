"""Netlink attributes (struct nlattr, linux/netlink.h): size, type and a payload that is padded to four bytes.

Pure.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterator

Attributes = dict[int, bytes]

#: NLA_F_NESTED: nfnetlink demands it on nested attributes, rtnetlink's older attributes never had it.
NESTED = 0x8000

_HEADER = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded."""
    return _HEADER.pack(4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def nest(kind: int, *attributes: bytes) -> bytes:
    """An attribute made of attributes, without the flag that says so."""
    return attribute(kind, b"".join(attributes))


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute made of attributes, marked as NESTED."""
    return attribute(kind | NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """A string that ends with a NUL.

    Raises OSError(EINVAL) for one that no name can be: with a NUL, or not encodable.
    """
    try:
        encoded = value.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        encoded = b"\0"
    if b"\0" in encoded:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return attribute(kind, encoded + b"\0")


def packed(layout: str, *values: int) -> bytes:
    """The values in a structure of the kernel. Raises OSError(ERANGE) for one that its field cannot hold."""
    try:
        return struct.pack(layout, *values)
    except struct.error:
        raise OSError(errno.ERANGE, os.strerror(errno.ERANGE)) from None


def u8(kind: int, value: int) -> bytes:
    """A number of 8 bits."""
    return attribute(kind, packed("=B", value))


def u16(kind: int, value: int) -> bytes:
    """A number of 16 bits in host byte order."""
    return attribute(kind, packed("=H", value))


def u32(kind: int, value: int) -> bytes:
    """A number of 32 bits in host byte order."""
    return attribute(kind, packed("=I", value))


def parse(data: bytes, at: int = 0) -> Attributes:
    """The attributes of a message, or of a nested attribute, from offset `at`: type -> payload."""
    return dict(pairs(data, at))


def pairs(data: bytes, at: int = 0) -> Iterator[tuple[int, bytes]]:
    """The same one by one, for nested attributes with several of a type."""
    end = len(data) - 4
    while at <= end:
        size, kind = _HEADER.unpack_from(data, at)
        yield kind & _TYPE_MASK, data[at + 4 : at + size]
        at += (size + 3) & ~3 or 4


def number(payload: bytes | None) -> int:
    """A number in host byte order; 0 if there is none."""
    return int.from_bytes(payload, sys.byteorder) if payload else 0


def network_number(payload: bytes | None) -> int:
    """A number in network byte order; 0 if there is none."""
    return int.from_bytes(payload, "big") if payload else 0


def string(payload: bytes | None) -> str:
    """A string without its NUL; "" if there is none."""
    return payload.rstrip(b"\0").decode(errors="surrogateescape") if payload else ""
