"""Who has which name, and what a client may see of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cni_dns.server.resolve import Forwarded
from cni_dns.server.zone import Entry, Registry
from linkspan.cni.model import Attachment
from tests.harness import queries
from tests.harness.queries import BOTH, DB, FAR, GATEWAY, HERE, THERE, WEB, ask, found, rcode


@pytest.fixture
def registry() -> Registry:
    return queries.registry()


def test_names_of_another_network_are_not_seen(registry: Registry) -> None:
    assert isinstance(ask(registry, "far."), Forwarded)
    assert rcode(registry, "far.far.", source="10.6.0.2", listener=THERE) == "NOERROR"


def test_a_container_sees_the_names_of_all_its_networks(registry: Registry) -> None:
    registry.put(BOTH)
    assert found(registry, "far.") == {"10.6.0.2"}
    assert found(registry, "web.", source="10.6.0.3", listener=THERE) == {"10.5.0.2"}
    assert isinstance(ask(registry, "far.", source="10.5.0.2"), Forwarded)


def test_where_it_is_asked_from_decides_which_of_its_own_addresses_comes_first(registry: Registry) -> None:
    registry.put(BOTH)
    assert found(registry, "db.", source="10.5.0.2") == {"10.5.0.3"}
    assert found(registry, "db.", source="10.6.0.2", listener=THERE) == {"10.6.0.3"}


def test_a_stranger_is_refused(registry: Registry) -> None:
    assert registry.view(HERE, "203.0.113.9") is None
    assert rcode(registry, "web.", source="203.0.113.9") == "REFUSED"


def test_an_address_of_the_network_without_a_name_may_ask(registry: Registry) -> None:
    assert found(registry, "web.", source="10.5.0.200") == {"10.5.0.2"}


def test_the_host_may_ask_from_a_gateway_outside_of_the_subnet() -> None:
    registry = Registry()
    registry.put(replace(WEB, addresses=("10.5.0.2/32",)))
    assert found(registry, "web.", source=GATEWAY) == {"10.5.0.2"}
    assert rcode(registry, "web.", source="10.5.0.9") == "REFUSED"


def test_a_link_local_address_may_ask_where_it_is(registry: Registry) -> None:
    assert found(registry, "web.", source="fe80::1") == {"10.5.0.2"}
    assert isinstance(ask(registry, "web.", source="fe80::1", listener=THERE), Forwarded)


def test_a_container_of_another_network_is_refused(registry: Registry) -> None:
    """Its packets arrive here with a forged source, if at all."""
    assert rcode(registry, "web.", source="10.6.0.2") == "REFUSED"


def test_a_container_may_ask_here_with_the_address_of_another_of_its_networks(registry: Registry) -> None:
    registry.put(BOTH)
    assert found(registry, "web.", source="10.6.0.3") == {"10.5.0.2"}


def test_two_networks_with_one_subnet_have_a_listener_each_and_their_own_names(registry: Registry) -> None:
    twin = replace(WEB, attachment=Attachment("twin", "tw", "eth0"), bridge="br2", names=("tw",))
    registry.put(replace(twin, addresses=("10.5.0.2/24",)))
    assert registry.listeners == {HERE, THERE, ("br2", GATEWAY)}
    assert found(registry, "tw.", source="10.5.0.2", listener=("br2", GATEWAY)) == {"10.5.0.2"}
    assert found(registry, "web.", source="10.5.0.2") == {"10.5.0.2"}
    assert isinstance(ask(registry, "tw.", source="10.5.0.2"), Forwarded)


def test_a_container_without_a_bridge_asks_on_its_own_link(registry: Registry) -> None:
    routed = replace(WEB, attachment=Attachment("ptp", "p", "eth0"), bridge="", device="veth9")
    registry.put(replace(routed, names=("p",), addresses=("10.9.0.2/32",)))
    assert ("veth9", GATEWAY) in registry.listeners
    assert found(registry, "p.", source="10.9.0.2", listener=("veth9", GATEWAY)) == {"10.9.0.2"}


def test_a_record_of_an_earlier_version_names_no_device() -> None:
    record = WEB.record()
    del record["device"]
    assert Entry.from_record(record) == WEB


def test_other_names_are_forwarded_where_the_network_is_a_way_out(registry: Registry) -> None:
    assert isinstance(ask(registry, "example.org."), Forwarded)


def test_other_names_do_not_exist_where_it_is_none(registry: Registry) -> None:
    for entry in (WEB, DB):
        registry.put(replace(entry, forward=False))
    assert rcode(registry, "example.org.") == "NXDOMAIN"


def test_upstreams_of_the_asker_are_asked(registry: Registry) -> None:
    registry.put(replace(DB, upstreams=("192.0.2.1", "192.0.2.2")))
    decision = ask(registry, "example.org.")
    assert isinstance(decision, Forwarded)
    assert decision.upstreams == ("192.0.2.1", "192.0.2.2")


# --- coming and going --------------------------------------------------------------------------------------------


def test_a_name_that_was_removed_is_gone_in_all_forms(registry: Registry) -> None:
    registry.remove(WEB.attachment)
    assert rcode(registry, "web.net.") == "NXDOMAIN"
    assert isinstance(ask(registry, "www."), Forwarded)
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
    assert registry.listeners == {HERE, THERE}
    registry.remove(DB.attachment)
    assert registry.listeners == {THERE}


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


@pytest.mark.parametrize(
    "changes",
    [
        {"ttl": float("inf")},
        {"ttl": None},
        {"names": 7},
        {"addresses": ["10.5.0.2/99"]},
        {"listen": None},
        {"bridge": ...},
    ],
    ids=str,
)
def test_an_invalid_record_is_one_kind_of_error(changes: dict[str, object]) -> None:
    record = {**Entry(attachment=Attachment("net", "c1", "eth0")).record(), **changes}
    with pytest.raises(ValueError, match=r"."):
        Entry.from_record({key: value for key, value in record.items() if value is not ...})
