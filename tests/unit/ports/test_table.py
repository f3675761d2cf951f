"""Which relayed port leads where."""

from __future__ import annotations

from dataclasses import replace

import pytest

from linkspan.cni.model import Attachment
from linkspan.netfilter.relay import RelayedPort
from linkspan.ports.table import HeldPort, RelayTable

WEB, WEB2 = Attachment("net", "web", "eth0"), Attachment("other", "web", "eth1")
EVERY = RelayedPort(
    family=4, protocol="tcp", host_ip="", host_port=8080, address="10.1.0.2", container_port=80
)
ONE = replace(EVERY, host_ip="127.0.0.1", address="10.1.0.3")


@pytest.fixture
def table() -> RelayTable:
    return RelayTable()


def test_port_of_one_address_goes_before_that_of_all(table: RelayTable) -> None:
    table.put(WEB, [EVERY, ONE])
    assert table.find(4, "tcp", "127.0.0.1", 8080) == ONE
    assert table.find(4, "tcp", "127.0.0.9", 8080) == EVERY


@pytest.mark.parametrize(("family", "protocol", "port"), [(6, "tcp", 8080), (4, "udp", 8080), (4, "tcp", 80)])
def test_another_family_protocol_or_port_leads_nowhere(
    table: RelayTable, family: int, protocol: str, port: int
) -> None:
    table.put(WEB, [EVERY])
    assert table.find(family, protocol, "127.0.0.1", port) is None  # type: ignore[arg-type]


def test_later_network_of_a_container_is_served_until_it_goes(table: RelayTable) -> None:
    table.put(WEB, [EVERY])
    table.put(WEB2, [replace(EVERY, address="10.2.0.2")])
    before = table.get(EVERY.key)
    table.remove(WEB2)
    assert (before and before.address, table.get(EVERY.key)) == ("10.2.0.2", EVERY)


def test_putting_replaces_all_ports_of_an_attachment(table: RelayTable) -> None:
    table.put(WEB, [EVERY])
    table.put(WEB, [ONE])
    assert tuple(table.all()) == ((WEB, (ONE,)),)


def test_attachment_without_ports_is_not_in_the_table(table: RelayTable) -> None:
    table.put(WEB, [EVERY])
    table.put(WEB, [])
    assert (len(table), table.keys("tcp")) == (0, frozenset())


@pytest.mark.parametrize(
    "document",
    [
        {"protocol": "icmp", "address": "", "port": 1},
        {"protocol": "tcp", "address": "", "port": 0},
        {"protocol": "tcp", "address": "web", "port": 1},
    ],
)
def test_what_cannot_be_held_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller needs no more than that
        HeldPort.from_json(document)


def test_held_port_names_its_address_if_it_has_one() -> None:
    assert str(HeldPort(protocol="tcp", address="192.0.2.1", port=80)) == "80/tcp on 192.0.2.1"
    assert str(HeldPort(protocol="udp", address="", port=53)) == "53/udp"
