"""Ports are relayed by asking the ports process."""

from __future__ import annotations

import pytest

from linkspan import paths
from linkspan.call.records import Records
from linkspan.cni.model import Attachment
from linkspan.host.memory import MemoryHost
from linkspan.netfilter.relay import RelayedPort
from linkspan.steps.relay import RECORDS, relay, relayed

WEB = Attachment("net", "web", "eth0")
PORT = RelayedPort(
    family=4, protocol="tcp", host_ip="", host_port=8080, address="10.1.0.2", container_port=80
)
SIX = RelayedPort(family=6, protocol="tcp", host_ip="", host_port=8080, address="fd00::2", container_port=80)


@pytest.fixture
def host() -> MemoryHost:
    return MemoryHost()


def test_relayed_port_has_a_port_to_redirect_to(host: MemoryHost) -> None:
    (served,) = relay(host, WEB, [PORT])
    assert served == PORT.redirected(served.redirect)
    assert served.redirect
    assert relayed(host, WEB) == (served,)


def test_ports_of_a_family_without_an_address_are_left_out(host: MemoryHost) -> None:
    host.services.without_families.add(6)
    assert [each.family for each in relay(host, WEB, [PORT, SIX])] == [4]


def test_relaying_nothing_does_not_start_the_process_and_removes_its_record(host: MemoryHost) -> None:
    Records(host, RECORDS).write(WEB, {"ports": [PORT.to_json()]})
    assert relay(host, WEB, []) == ()
    assert (host.services.running, Records(host, RECORDS).read(WEB)) == (set(), None)


def test_relaying_nothing_ends_what_was_relayed(host: MemoryHost) -> None:
    relay(host, WEB, [PORT])
    relay(host, WEB, [])
    assert (host.services.running, relayed(host, WEB)) == ({paths.PORTS}, ())
