"""Hosts in memory and on the kernel answer alike for the ports process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from linkspan.cni.addresses import family_of
from linkspan.cni.model import Attachment
from linkspan.daemon.services import LinuxServices
from linkspan.host.contract import Host
from linkspan.host.linux import LinuxHost
from linkspan.host.memory import MemoryHost
from linkspan.netfilter.relay import RelayedPort
from linkspan.steps.relay import relay, relayed
from tests.harness.privatehost import PrivateHost

WEB, DB = Attachment("net", "web", "eth0"), Attachment("net", "db", "eth0")
PORTS = [
    RelayedPort(
        family=family_of(address),
        protocol=protocol,
        host_ip="",
        host_port=8080,
        address=address,
        container_port=80,
    )
    for address in ("10.1.0.2", "fd00::2")
    for protocol in ("tcp", "udp")
]


@pytest.fixture(params=["memory", pytest.param("linux", marks=pytest.mark.root)])
def any_host(request: pytest.FixtureRequest) -> Iterator[Host]:
    if request.param == "memory":
        yield MemoryHost()
        return
    private: PrivateHost = request.getfixturevalue("host")
    with private.entered():
        real = LinuxHost(services=LinuxServices)
        yield real
        real.close()


def test_service_that_does_not_run_has_no_reply_unless_it_is_started(any_host: Host) -> None:
    message = {"do": "relayed", **WEB.to_json()}
    assert any_host.services.ask("ports", message, start=False) is None
    started = any_host.services.ask("ports", message)
    assert started == any_host.services.ask("ports", message, start=False) == {"ok": True, "ports": []}


def test_every_port_is_relayed_at_a_port_of_its_own_or_of_tcp(any_host: Host) -> None:
    served = relay(any_host, WEB, PORTS)
    assert [each.redirected(0) for each in served] == PORTS
    assert len({(each.protocol, each.family, each.redirect) for each in served}) == 4
    assert all(each.redirect for each in served)


def test_relaying_again_keeps_the_ports_and_replaces_what_was_relayed(any_host: Host) -> None:
    first = relay(any_host, WEB, PORTS)
    assert relay(any_host, WEB, first) == first
    assert relay(any_host, WEB, PORTS[:1]) == first[:1]
    assert relayed(any_host, WEB) == first[:1]


def test_attachments_do_not_share_what_is_relayed(any_host: Host) -> None:
    relay(any_host, WEB, PORTS)
    relay(any_host, DB, PORTS[:1])
    relay(any_host, WEB, [])
    assert (relayed(any_host, WEB), len(relayed(any_host, DB))) == ((), 1)


def test_service_that_runs_has_a_process_and_one_that_does_not_has_none(any_host: Host) -> None:
    before = any_host.services.pid("ports")
    relay(any_host, WEB, PORTS)
    assert (before, any_host.services.pid("dns")) == (0, 0)
    assert any_host.services.pid("ports") > 0
