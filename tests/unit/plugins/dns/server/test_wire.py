"""Names in wire form, and what of a message is read without parsing it whole."""

from __future__ import annotations

from ipaddress import ip_address

import dns.message
import dns.name
import pytest

from cni_dns.server import wire


@pytest.mark.parametrize("name", ["web", "WeB.Net", "a" * 63 + ".x_y-z"])
def test_a_name_has_the_wire_form_that_dnspython_gives_it(name: str) -> None:
    assert wire.wire_name(name) == dns.name.from_text(name.lower()).to_wire()


@pytest.mark.parametrize("ip", ["10.5.0.2", "0.0.0.0", "fd00::2", "2001:db8::ffff"])
def test_the_reverse_name_of_an_address_leads_back_to_it(ip: str) -> None:
    assert wire.address_of_reverse(wire.reverse_name(ip)) == ip_address(ip)


@pytest.mark.parametrize(
    "name", ["5.10.in-addr.arpa", "x.0.5.10.in-addr.arpa", "300.0.5.10.in-addr.arpa", "web", "ip6.arpa"]
)
def test_another_name_is_the_reverse_of_no_address(name: str) -> None:
    assert wire.address_of_reverse(wire.wire_name(name)) is None


def test_the_question_ends_before_what_follows_it() -> None:
    query = dns.message.make_query("web.net.", "A", use_edns=0).to_wire()
    assert query[wire.HEADER : wire.question_end(query)] == wire.question(wire.wire_name("web.net"), wire.A)


@pytest.mark.parametrize(
    "question", [b"\xc0\x0c\0\1\0\1", b"\x40" + b"a" * 64 + b"\0\0\1\0\1", b"\3web\0\0\1", b"\3we"]
)
def test_a_malformed_question_has_no_end(question: bytes) -> None:
    assert wire.question_end(bytes(wire.HEADER) + question) == 0


def test_a_question_in_lower_case_keeps_its_type() -> None:
    """HTTPS is type 65, the octet of an "A"."""
    assert wire.lowercase(b"\3WEB\0\0\x41\0\1") == b"\3web\0\0\x41\0\1"
