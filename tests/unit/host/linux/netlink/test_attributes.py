"""Netlink attributes read as they were written."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from linkspan.host.linux.netlink.attributes import (
    attribute,
    nest,
    nested,
    network_number,
    number,
    pairs,
    parse,
    string,
    text,
    u8,
    u16,
    u32,
)


@pytest.mark.parametrize("payload", [b"", b"a", b"abcd", b"abcde"], ids=len)
def test_an_attribute_is_padded_and_reads_without_padding(payload: bytes) -> None:
    written = attribute(7, payload)
    assert len(written) % 4 == 0
    assert parse(written) == {7: payload}


def test_attributes_follow_each_other_behind_a_header() -> None:
    written = bytes(5) + attribute(1, b"one") + attribute(2, b"two")
    assert parse(written, 5) == {1: b"one", 2: b"two"}


def test_several_of_a_type_are_all_read() -> None:
    assert list(pairs(attribute(1, b"a") + attribute(1, b"b"))) == [(1, b"a"), (1, b"b")]


@pytest.mark.parametrize("wrap", [nest, nested])
def test_a_nested_attribute_reads_alike_with_and_without_its_flag(wrap: object) -> None:
    written = nested(3, attribute(1, b"x")) if wrap is nested else nest(3, attribute(1, b"x"))
    assert parse(parse(written)[3]) == {1: b"x"}


def test_numbers_are_in_host_byte_order() -> None:
    written = u8(1, 200) + u16(2, 60000) + u32(3, 4_000_000_000)
    assert [number(each) for each in parse(written).values()] == [200, 60000, 4_000_000_000]


@pytest.mark.parametrize(("write", "most"), [(u8, 2**8 - 1), (u16, 2**16 - 1), (u32, 2**32 - 1)])
def test_a_number_that_does_not_fit_is_refused_as_the_kernel_refuses(
    write: Callable[[int, int], bytes], most: int
) -> None:
    assert write(1, most)
    for value in (-1, most + 1):
        with pytest.raises(OSError, match="out of range"):
            write(1, value)


def test_what_is_absent_is_zero_or_empty() -> None:
    assert (number(None), network_number(None), string(None)) == (0, 0, "")


def test_a_string_ends_with_a_nul_and_reads_without() -> None:
    assert parse(text(1, "eth0")) == {1: b"eth0\0"}
    assert string(b"eth0\0") == "eth0"


@pytest.mark.parametrize("data", [b"\x01", bytes(4), bytes(64)], ids=["short", "empty", "zeros"])
def test_reading_nonsense_ends(data: bytes) -> None:
    assert set(parse(data)) <= {0}
