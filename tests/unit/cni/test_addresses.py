"""MAC and IP addresses in all their spellings, and what an IP address says of itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkspan.cni.addresses import (
    ANY_LINK_LAYER,
    addresses_among,
    by_family,
    canonical_cidr,
    checked_cidr,
    checked_ip,
    family_of,
    host_prefix,
    is_unicast,
    local_mac,
    masked,
    parse_cidr,
    parse_ip,
    parse_mac,
    without_prefix,
)
from linkspan.cni.errors import InvalidConfig


@pytest.mark.parametrize(
    "written",
    ["02:42:ac:11:00:0a", "02:42:AC:11:00:0A", "02-42-ac-11-00-0a", "0242.ac11.000a", "0242.AC11.000A"],
)
def test_every_spelling_of_a_mac_address_is_read_as_the_kernel_prints_it(written: str) -> None:
    assert parse_mac(written) == "02:42:ac:11:00:0a"


@pytest.mark.parametrize(
    "written",
    [
        "",
        "02:42",
        "nonsense",
        "02:42:ac:11:00:0g",
        "02:42:ac:11:00:02\n",
        " 02:42:ac:11:00:02",
        "02:42:ac:11:00",
        "02:42:ac:11:00:02:",
        "02:42-ac:11:00:02",
        "0242.ac11:0002",
        "024.2ac.110.002",
        "0242ac110002",
        "2:42:ac:11:0:2",
        "02:42:ac:11:00:0\u0662",
    ],
)  # fmt: skip
def test_what_go_refuses_is_no_mac_address(written: str) -> None:
    assert parse_mac(written, ANY_LINK_LAYER) is None


@pytest.mark.parametrize("octets", [6, 8, 20])
def test_lengths_of_other_link_layers_are_taken_only_where_they_are_allowed(octets: int) -> None:
    written = ":".join(["02"] * octets)
    assert parse_mac(written, ANY_LINK_LAYER) == written
    assert (parse_mac(written) is not None) == (octets == 6)


@given(st.binary(min_size=1, max_size=24))
def test_a_mac_address_in_its_own_form_stays_as_it_is(value: bytes) -> None:
    text = value.hex(":")
    assert parse_mac(text, ANY_LINK_LAYER) == (text if len(value) in (6, 8, 20) else None)


@pytest.mark.parametrize(
    ("mac", "unicast"),
    [("02:42:ac:11:00:02", True), ("01:00:5e:00:00:01", False), ("00:00:00:00:00:00", False)],
)
def test_an_interface_has_no_group_address_and_no_zero_one(mac: str, unicast: bool) -> None:
    assert is_unicast(mac) == unicast


@given(st.binary(min_size=6, max_size=6))
def test_a_computed_mac_address_is_local_and_unicast(value: bytes) -> None:
    mac = local_mac(value.hex())
    assert is_unicast(mac)
    assert int(mac[:2], 16) & 0x02


@pytest.mark.parametrize(
    ("address", "family", "bare"),
    [("10.0.0.1", 4, "10.0.0.1"), ("10.0.0.0/8", 4, "10.0.0.0"), ("fd00::2/64", 6, "fd00::2")],
)
def test_an_ip_address_has_a_family_and_perhaps_a_prefix_length(address: str, family: int, bare: str) -> None:
    assert (family_of(address), without_prefix(address)) == (family, bare)


def test_addresses_are_told_apart_by_family() -> None:
    assert by_family(("10.5.0.2/24", "fd00:5::2/64")) == {4: ("10.5.0.2/24",), 6: ("fd00:5::2/64",)}
    assert by_family(()) == {}


@pytest.mark.parametrize(
    ("text", "ip"), [("10.5.0.7", "10.5.0.7"), ("::ffff:10.5.0.7", "10.5.0.7"), ("FD00::7", "fd00::7")]
)
def test_an_ip_address_is_read_in_any_spelling(text: str, ip: str) -> None:
    assert str(parse_ip(text)) == ip


@pytest.mark.parametrize("text", ["", "10.5.0", "fe80::1%eth0", "10.5.0.7/24", None, 7])
def test_what_is_not_an_ip_address_is_refused_with_its_place(text: object) -> None:
    assert parse_ip(text) is None
    with pytest.raises(InvalidConfig, match=r"^\$\.here: .* is not an IP address$"):
        checked_ip("$.here", text)


def test_cidr_notation_may_have_host_bits() -> None:
    assert checked_cidr("$", "10.5.0.7/24") == (parse_ip("10.5.0.7"), 24)


@pytest.mark.parametrize(
    "text", ["", "10.5.0.7", "10.5.0.7/", "10.5.0/24", "10.5.0.7/+4", "fe80::1%eth0/64", None]
)
def test_what_is_not_in_cidr_notation_is_refused(text: object) -> None:
    assert parse_cidr(text) is None
    with pytest.raises(InvalidConfig, match="is not in CIDR notation"):
        checked_cidr("$.here", text)


@pytest.mark.parametrize(("text", "longest"), [("10.5.0.0/33", 32), ("fd00::/129", 128)])
def test_a_prefix_longer_than_the_address_is_refused(text: str, longest: int) -> None:
    with pytest.raises(InvalidConfig, match=f"longer than {longest}"):
        checked_cidr("$.here", text)


def test_only_canonical_texts_are_taken_for_addresses() -> None:
    texts = ["10.5.0.2", "fd00::2", "FD00::2", "010.5.0.2", "x", "10.5.0.10"]
    assert [str(ip) for ip in addresses_among(texts)] == ["10.5.0.10", "10.5.0.2", "fd00::2"]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.5.0.2/24", "10.5.0.2/24"),
        ("FD00:5::0002/64", "fd00:5::2/64"),
        ("::ffff:10.5.0.2/120", "10.5.0.2/24"),
        ("::ffff:10.5.0.2/64", "::ffff:a05:2/64"),
        ("10.5.0.2/255.255.255.0", None),
        ("10.5.0.2/33", None),
        ("fe80::1%eth0/64", None),
        ("10.5.0.2", None),
        (7, None),
    ],
)
def test_an_address_in_cidr_notation_has_one_text_form(text: object, canonical: str | None) -> None:
    assert canonical_cidr(text) == canonical


@pytest.mark.parametrize(
    ("text", "network"),
    [("10.9.3.4/16", "10.9.0.0/16"), ("fd00:5::1/64", "fd00:5::/64"), ("10.1.2.3/0", "0.0.0.0/0")],
)
def test_a_destination_has_no_host_bits(text: str, network: str) -> None:
    assert masked(text) == network


def test_the_network_of_one_address_has_its_full_length() -> None:
    assert (host_prefix("10.5.0.1"), host_prefix("fe80::1")) == ("10.5.0.1/32", "fe80::1/128")
