"""From a query to its answer. What goes over the wire is judged by dnspython."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.reversename
import dns.rrset
import pytest

from cni_dns.server import wire
from cni_dns.server.resolve import fast_path, slow_path, truncated
from cni_dns.server.zone import Registry, View
from linkspan.cni.model import Attachment
from tests.harness import queries
from tests.harness.queries import HERE, WEB, ask, found, rcode


@pytest.fixture
def registry() -> Registry:
    return queries.registry()


@pytest.mark.parametrize("slow", [False, True], ids=["fast", "slow"])
@pytest.mark.parametrize("edns", [False, True], ids=["plain", "edns"])
@pytest.mark.parametrize("name", ["web.", "www.", "web.net.", "WeB.NeT."])
def test_every_form_of_a_name_is_answered(registry: Registry, name: str, edns: bool, slow: bool) -> None:
    assert found(registry, name, edns=edns, slow=slow) == {"10.5.0.2"}
    assert found(registry, name, "AAAA", edns=edns, slow=slow) == {"fd00:5::2"}


def test_an_answer_is_ours_and_has_the_ttl_that_was_asked_for(registry: Registry) -> None:
    reply = ask(registry, "web.")
    assert isinstance(reply, dns.message.Message)
    assert reply.flags & dns.flags.AA
    assert reply.flags & dns.flags.RA
    assert not reply.flags & dns.flags.AD
    assert reply.answer[0].ttl == 7


def test_an_edns_query_is_answered_in_edns_and_a_plain_one_is_not(registry: Registry) -> None:
    with_edns, without = ask(registry, "web.", edns=True), ask(registry, "web.")
    assert isinstance(with_edns, dns.message.Message)
    assert isinstance(without, dns.message.Message)
    assert (with_edns.edns, with_edns.payload, without.edns) == (0, 1232, -1)


@pytest.mark.parametrize(("ip", "name"), [("10.5.0.2", "web.net."), ("fd00:5::2", "web.net.")])
def test_an_address_points_back_at_the_first_name(registry: Registry, ip: str, name: str) -> None:
    assert found(registry, dns.reversename.from_address(ip).to_text(), "PTR") == {name}


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("web.", "MX", "NOERROR"),
        ("web.net.", "HTTPS", "NOERROR"),
        ("db.", "AAAA", "NOERROR"),
        ("nobody.net.", "A", "NXDOMAIN"),
        ("net.", "A", "NOERROR"),
        ("9.0.5.10.in-addr.arpa.", "PTR", "NXDOMAIN"),
        ("2.0.5.10.in-addr.arpa.", "A", "NOERROR"),
    ],
)
def test_what_a_name_of_ours_does_not_have_is_said_with_a_soa(
    registry: Registry, name: str, kind: str, code: str
) -> None:
    reply = ask(registry, name, kind)
    assert isinstance(reply, dns.message.Message)
    assert (dns.rcode.to_text(reply.rcode()), reply.answer) == (code, [])
    assert [each.rdtype for each in reply.authority] == [dns.rdatatype.SOA]
    assert name.endswith(reply.authority[0].name.to_text())


def test_any_gets_something_that_there_is(registry: Registry) -> None:
    assert found(registry, "web.", "ANY") == {"10.5.0.2"}


def test_two_containers_of_one_name_are_both_answered_in_turn(registry: Registry) -> None:
    registry.put(replace(WEB, attachment=Attachment("net", "w2", "eth0"), addresses=("10.5.0.9/24",)))
    firsts = set()
    for _ in range(4):
        reply = ask(registry, "web.")
        assert isinstance(reply, dns.message.Message)
        firsts.add(str(reply.answer[0][0]))
        assert found(registry, "web.") == {"10.5.0.2", "10.5.0.9"}
    assert firsts <= {"10.5.0.2", "10.5.0.9"}


def test_an_answer_too_long_for_udp_is_cut_and_whole_over_tcp(registry: Registry) -> None:
    for number in range(100, 180):
        one = Attachment("net", f"w{number}", "eth0")
        registry.put(replace(WEB, attachment=one, addresses=(f"10.5.0.{number}/24",)))
    reply = ask(registry, "web.")
    assert isinstance(reply, dns.message.Message)
    assert reply.flags & dns.flags.TC
    assert len(found(registry, "web.", tcp=True, slow=True)) == 81


# --- strange bytes -----------------------------------------------------------------------------------------------

QUERY = dns.message.make_query("web.", "A", use_edns=0).to_wire()


@pytest.mark.parametrize("size", range(len(QUERY)))
def test_a_query_cut_anywhere_is_answered_with_an_error_or_not_at_all(registry: Registry, size: int) -> None:
    view = registry.view(HERE, "10.5.0.3")
    assert view is not None
    assert fast_path(QUERY[:size], view) is None
    said = slow_path(QUERY[:size], view)
    assert said is None or (isinstance(said, bytes) and said[3] & 0x0F == wire.FORMERR)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda query: query[:2] + b"\x28" + query[3:], "NOTIMP"),
        (lambda query: query[:4] + b"\0\2" + query[6:], "FORMERR"),
        (lambda query: query[:12] + b"\xc0\x0c" + query[14:], "FORMERR"),
    ],
    ids=["opcode", "two questions", "compressed question"],
)
def test_a_query_that_we_do_not_serve_gets_its_error(registry: Registry, change: Any, code: str) -> None:
    said = slow_path(change(QUERY), registry.view(HERE, "10.5.0.3"))
    assert isinstance(said, bytes)
    assert dns.rcode.to_text(dns.rcode.Rcode(said[3] & 0x0F)) == code


def test_an_answer_is_never_answered(registry: Registry) -> None:
    assert slow_path(QUERY[:2] + b"\x80" + QUERY[3:], registry.view(HERE, "10.5.0.3")) is None


@pytest.mark.parametrize("kind", ["AXFR", "TKEY"])
def test_transfers_and_the_like_are_refused(registry: Registry, kind: str) -> None:
    assert rcode(registry, "net.", kind) == "REFUSED"


def test_another_edns_version_is_told() -> None:
    query = bytearray(QUERY)
    query[-5] = 1  # the version octet of the OPT record at the end
    said = slow_path(bytes(query), View((), forward=False, upstreams=()))
    assert isinstance(said, bytes)
    assert dns.message.from_wire(said).rcode() == dns.rcode.BADVERS


def test_an_upstream_s_long_reply_is_cut_to_header_and_question() -> None:
    query = dns.message.make_query("example.org.", "TXT")
    reply = dns.message.make_response(query)
    reply.answer.append(
        dns.rrset.from_text("example.org.", 1, "IN", "TXT", *(f'"{n:0200}"' for n in range(9)))
    )
    wire = reply.to_wire()
    cut = dns.message.from_wire(truncated(wire, 512), raise_on_truncation=False)
    assert (bool(cut.flags & dns.flags.TC), cut.answer, cut.question) == (True, [], query.question)
    assert truncated(wire, 65535) == wire
