"""Who has which name, and what an asker may see. What goes over the wire is judged by dnspython."""

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

from cni_dns import frames, message
from cni_dns.registry import Entry, Registry, View
from cni_dns.resolver import Forward, careful, fitting, quick
from linkspan.cni.model import Attachment

GATEWAY, OTHER_GATEWAY = "10.5.0.1", "10.6.0.1"
WEB = Entry(
    attachment=Attachment("net", "web", "eth0"),
    bridge="br0",
    link="veth1",
    names=("web", "www"),
    addresses=("10.5.0.2/24", "fd00:5::2/64"),
    listen=(GATEWAY,),
    domains=("net",),
    ttl=7,
)
DB = replace(WEB, attachment=Attachment("net", "db", "eth0"), names=("db",), addresses=("10.5.0.3/24",))
FAR = replace(
    WEB,
    attachment=Attachment("far", "far", "eth0"),
    bridge="br1",
    names=("far",),
    addresses=("10.6.0.2/24",),
    listen=(OTHER_GATEWAY,),
    domains=("far",),
)
BOTH = replace(FAR, attachment=Attachment("far", "db", "eth1"), names=("db",), addresses=("10.6.0.3/24",))


@pytest.fixture
def registry() -> Registry:
    made = Registry()
    for entry in (WEB, DB, FAR):
        made.put(entry)
    return made


def ask(
    registry: Registry,
    name: str,
    kind: str = "A",
    *,
    source: str = "10.5.0.3",
    listener: str = GATEWAY,
    edns: bool = False,
    carefully: bool = False,
    tcp: bool = False,
) -> dns.message.Message | Forward | None:
    """The reply to a query as dnspython reads it, or the decision to ask elsewhere."""
    query = dns.message.make_query(name, kind, use_edns=0 if edns else -1)
    wire, view = query.to_wire(), registry.view(listener, source)
    said: Any = None if carefully or view is None else quick(wire, view)
    if said is None:
        said = careful(wire, view, tcp=tcp)
    if isinstance(said, bytes):
        reply = dns.message.from_wire(said)
        assert query.is_response(reply)
        return reply
    return said  # type: ignore[no-any-return]


def found(registry: Registry, name: str, kind: str = "A", **more: Any) -> set[str]:
    reply = ask(registry, name, kind, **more)
    assert isinstance(reply, dns.message.Message)
    return {str(record) for rrset in reply.answer for record in rrset}


def rcode(registry: Registry, name: str, kind: str = "A", **more: Any) -> str:
    reply = ask(registry, name, kind, **more)
    assert isinstance(reply, dns.message.Message)
    return dns.rcode.to_text(reply.rcode())


# --- answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("carefully", [False, True], ids=["quick", "careful"])
@pytest.mark.parametrize("edns", [False, True], ids=["plain", "edns"])
@pytest.mark.parametrize("name", ["web.", "www.", "web.net.", "WeB.NeT."])
def test_every_form_of_a_name_is_answered(registry: Registry, name: str, edns: bool, carefully: bool) -> None:
    assert found(registry, name, edns=edns, carefully=carefully) == {"10.5.0.2"}
    assert found(registry, name, "AAAA", edns=edns, carefully=carefully) == {"fd00:5::2"}


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
    assert len(found(registry, "web.", tcp=True, carefully=True)) == 81


# --- whom it concerns --------------------------------------------------------------------------------------------


def test_names_of_another_network_are_not_seen(registry: Registry) -> None:
    assert isinstance(ask(registry, "far."), Forward)
    assert rcode(registry, "far.far.", source="10.6.0.2", listener=OTHER_GATEWAY) == "NOERROR"


def test_a_container_sees_the_names_of_all_its_networks(registry: Registry) -> None:
    registry.put(BOTH)
    assert found(registry, "far.") == {"10.6.0.2"}
    assert found(registry, "web.", source="10.6.0.3", listener=OTHER_GATEWAY) == {"10.5.0.2"}
    assert isinstance(ask(registry, "far.", source="10.5.0.2"), Forward)


def test_where_it_is_asked_from_decides_which_of_its_own_addresses_comes_first(registry: Registry) -> None:
    registry.put(BOTH)
    assert found(registry, "db.", source="10.5.0.2") == {"10.5.0.3"}
    assert found(registry, "db.", source="10.6.0.2", listener=OTHER_GATEWAY) == {"10.6.0.3"}


def test_a_stranger_is_refused(registry: Registry) -> None:
    assert registry.view(GATEWAY, "203.0.113.9") is None
    assert rcode(registry, "web.", source="203.0.113.9") == "REFUSED"


def test_an_address_of_the_network_without_a_name_may_ask(registry: Registry) -> None:
    assert found(registry, "web.", source="10.5.0.200") == {"10.5.0.2"}


def test_the_host_may_ask_from_a_gateway_outside_of_the_subnet() -> None:
    registry = Registry()
    registry.put(replace(WEB, addresses=("10.5.0.2/32",)))
    assert found(registry, "web.", source=GATEWAY) == {"10.5.0.2"}
    assert rcode(registry, "web.", source="10.5.0.9") == "REFUSED"


def test_other_names_are_forwarded_where_the_network_is_a_way_out(registry: Registry) -> None:
    assert isinstance(ask(registry, "example.org."), Forward)


def test_other_names_do_not_exist_where_it_is_none(registry: Registry) -> None:
    for entry in (WEB, DB):
        registry.put(replace(entry, forward=False))
    assert rcode(registry, "example.org.") == "NXDOMAIN"


def test_upstreams_of_the_asker_are_asked(registry: Registry) -> None:
    registry.put(replace(DB, upstreams=("192.0.2.1", "192.0.2.2")))
    decision = ask(registry, "example.org.")
    assert isinstance(decision, Forward)
    assert decision.upstreams == ("192.0.2.1", "192.0.2.2")


# --- coming and going --------------------------------------------------------------------------------------------


def test_a_name_that_was_removed_is_gone_in_all_forms(registry: Registry) -> None:
    registry.remove(WEB.attachment)
    assert rcode(registry, "web.net.") == "NXDOMAIN"
    assert isinstance(ask(registry, "www."), Forward)
    assert rcode(registry, "2.0.5.10.in-addr.arpa.", "PTR") == "NXDOMAIN"


def test_an_address_that_is_given_to_another_takes_the_names_along(registry: Registry) -> None:
    heir = replace(WEB, attachment=Attachment("net", "heir", "eth0"), names=("heir",))
    assert registry.put(heir) == (WEB,)
    assert found(registry, "heir.") == {"10.5.0.2"}
    assert WEB.attachment not in registry.entries


def test_the_last_one_leaves_nothing(registry: Registry) -> None:
    for entry in (WEB, DB, FAR):
        assert registry.remove(entry.attachment) == entry
    assert (registry.entries, registry.zones, registry.listeners) == ({}, {}, frozenset())


def test_an_address_is_listened_on_as_long_as_somebody_needs_it(registry: Registry) -> None:
    registry.remove(WEB.attachment)
    assert registry.listeners == {GATEWAY, OTHER_GATEWAY}
    registry.remove(DB.attachment)
    assert registry.listeners == {OTHER_GATEWAY}


def test_replacing_an_entry_forgets_its_old_names(registry: Registry) -> None:
    registry.put(replace(WEB, names=("new",)))
    assert found(registry, "new.") == {"10.5.0.2"}
    assert rcode(registry, "web.net.") == "NXDOMAIN"


def test_an_entry_survives_being_written_down() -> None:
    assert Entry.from_record(WEB.record()) == WEB


@pytest.mark.parametrize("spoilt", [{"addresses": ["x"]}, {"ttl": "x"}, {"names": None}])
def test_a_record_that_makes_no_sense_is_told(spoilt: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Entry.from_record({**WEB.record(), **spoilt})


# --- strange bytes -----------------------------------------------------------------------------------------------

QUERY = dns.message.make_query("web.", "A", use_edns=0).to_wire()


@pytest.mark.parametrize("size", range(len(QUERY)))
def test_a_query_cut_anywhere_is_answered_with_an_error_or_not_at_all(registry: Registry, size: int) -> None:
    view = registry.view(GATEWAY, "10.5.0.3")
    assert view is not None
    assert quick(QUERY[:size], view) is None
    said = careful(QUERY[:size], view)
    assert said is None or (isinstance(said, bytes) and said[3] & 0x0F == message.FORMERR)


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
    said = careful(change(QUERY), registry.view(GATEWAY, "10.5.0.3"))
    assert isinstance(said, bytes)
    assert dns.rcode.to_text(dns.rcode.Rcode(said[3] & 0x0F)) == code


def test_an_answer_is_never_answered(registry: Registry) -> None:
    assert careful(QUERY[:2] + b"\x80" + QUERY[3:], registry.view(GATEWAY, "10.5.0.3")) is None


@pytest.mark.parametrize("kind", ["AXFR", "TKEY"])
def test_transfers_and_the_like_are_refused(registry: Registry, kind: str) -> None:
    assert rcode(registry, "net.", kind) == "REFUSED"


def test_another_edns_version_is_told() -> None:
    query = bytearray(QUERY)
    query[-5] = 1  # the version octet of the OPT record at the end
    said = careful(bytes(query), View((), forward=False, upstreams=()))
    assert isinstance(said, bytes)
    assert dns.message.from_wire(said).rcode() == dns.rcode.BADVERS


def test_an_upstream_s_long_reply_is_cut_to_header_and_question() -> None:
    query = dns.message.make_query("example.org.", "TXT")
    reply = dns.message.make_response(query)
    reply.answer.append(
        dns.rrset.from_text("example.org.", 1, "IN", "TXT", *(f'"{n:0200}"' for n in range(9)))
    )
    wire = reply.to_wire()
    cut = dns.message.from_wire(fitting(wire, 512), raise_on_truncation=False)
    assert (bool(cut.flags & dns.flags.TC), cut.answer, cut.question) == (True, [], query.question)
    assert fitting(wire, 65535) == wire


# --- words between plugin and server -----------------------------------------------------------------------------


def test_messages_come_out_as_they_went_in_wherever_they_are_cut() -> None:
    stream = frames.pack({"a": 1}) + frames.pack({"b": "ü"})
    for cut in range(len(stream)):
        got, rest = [], b""
        for piece in (stream[:cut], stream[cut:]):
            rest += piece
            while (unpacked := frames.unpack(rest))[0] is not None:
                got.append(unpacked[0])
                rest = unpacked[1]
        assert (got, rest) == ([{"a": 1}, {"b": "ü"}], b"")


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\0\0\0\2[]", b"\0\0\0\1{"])
def test_what_is_no_message_is_told(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        frames.unpack(data)
