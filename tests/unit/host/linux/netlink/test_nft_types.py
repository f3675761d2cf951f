"""Keys and values of sets are translated as nft writes and the kernel keeps them."""

from __future__ import annotations

import struct

import pytest

from linkspan.host.linux.netlink.attributes import attribute, nested
from linkspan.host.linux.netlink.nft_types import (
    Unsupported,
    comment_in,
    data_types,
    decode_data,
    encode_key,
)

IPV4, IPV6, PROTOCOL, PORT, IFNAME, MARK = 7, 8, 12, 13, 41, 19
VERDICT = 0xFFFFFF00


def concatenated(*types: int) -> int:
    number = 0
    for each in types:
        number = number << 6 | each
    return number


@pytest.mark.parametrize("types", [(IPV4,), (PROTOCOL, PORT, IPV6), (VERDICT,), ()])
def test_a_concatenation_is_taken_apart(types: tuple[int, ...]) -> None:
    assert data_types(VERDICT if types == (VERDICT,) else concatenated(*types)) == types


def test_a_single_key_is_not_padded() -> None:
    assert encode_key((PORT,), ("80",)) == b"\0P"


def test_each_part_of_a_concatenation_fills_whole_registers() -> None:
    key = encode_key((PROTOCOL, PORT, IPV4), ("tcp", "80", "10.0.0.1"))
    assert key == b"\x06\0\0\0" + b"\0P\0\0" + b"\x0a\0\0\1"


def test_an_interface_name_is_unquoted_and_fills_its_field() -> None:
    assert encode_key((IFNAME,), ('"br0"',)) == b"br0".ljust(16, b"\0")


@pytest.mark.parametrize(
    ("types", "key"),
    [
        ((IPV4,), ("10.0.0.0/24",)),
        ((PORT,), ("80-90",)),
        ((PORT,), ("70000",)),
        ((PROTOCOL,), ("no-such-protocol",)),
        ((MARK,), ("1",)),
        ((IPV4, PORT), ("10.0.0.1",)),
    ],
    ids=["prefix", "range", "too large", "protocol", "unknown type", "too short"],
)
def test_what_cannot_be_translated_is_left_to_nft(types: tuple[int, ...], key: tuple[str, ...]) -> None:
    with pytest.raises(Unsupported):
        encode_key(types, key)


@pytest.mark.parametrize(
    ("types", "data", "value"),
    [
        ((IPV4, PORT), b"\x0a\5\0\2" + b"\0P\0\0", "10.5.0.2 . 80"),
        ((IFNAME,), b"br0".ljust(16, b"\0"), '"br0"'),
        ((PROTOCOL,), b"\x84", "sctp"),
        ((PROTOCOL,), b"\x01", "1"),
    ],
)
def test_a_value_reads_as_nft_prints_it(types: tuple[int, ...], data: bytes, value: str) -> None:
    assert decode_data(types, attribute(1, data)) == value


def test_a_verdict_reads_with_its_chain() -> None:
    verdict = attribute(1, struct.pack("!i", -3)) + attribute(2, b"drops\0")
    assert decode_data((VERDICT,), nested(2, verdict)) == "jump drops"


def test_a_comment_is_found_behind_other_user_data() -> None:
    assert comment_in(b"\x01\x02ab" + b"\x00\x04web\0") == "web"
    assert comment_in(b"\x01\x02ab") == ""
