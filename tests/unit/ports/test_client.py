"""The requests of the ports process, and its records where none runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from linkspan.call.records import Records
from linkspan.cni.model import Attachment
from linkspan.host.memory import MemoryHost
from linkspan.netfilter.relay import RelayedPort
from linkspan.ports.client import HELD, RELAYED, Ports
from linkspan.ports.table import HeldPort

WEB = Attachment("net", "web", "eth0")
PORT = RelayedPort(
    family=4, protocol="tcp", host_ip="", host_port=8080, address="10.1.0.2", container_port=80
)
HELD_PORT = HeldPort(protocol="tcp", address="", port=8080)


class NoProcess:
    """Nobody answers. `starts` is, for each message, whether the process should have been started."""

    def __init__(self) -> None:
        self.starts: list[bool] = []

    def __call__(self, message: Mapping[str, Any], start: bool) -> None:
        self.starts.append(start)


@pytest.fixture
def host() -> MemoryHost:
    made = MemoryHost()
    for name in (RELAYED, HELD):
        Records(made, name).write(WEB, {"ports": []})
    return made


def test_relayed_ports_are_those_of_the_reply() -> None:
    reply = {"ok": True, "ports": [PORT.redirected(61000).to_json()]}
    assert Ports(MemoryHost(), lambda *_: reply).relay(WEB, [PORT]) == (PORT.redirected(61000),)


def test_relaying_nothing_without_a_process_removes_the_record(host: MemoryHost) -> None:
    process = NoProcess()
    assert Ports(host, process).relay(WEB, []) == ()
    assert (process.starts, Records(host, RELAYED).read(WEB)) == ([False], None)


def test_releasing_all_without_a_process_removes_the_record(host: MemoryHost) -> None:
    process = NoProcess()
    Ports(host, process).release(WEB)
    assert (process.starts, Records(host, HELD).read(WEB)) == ([False], None)


def test_relaying_holding_and_releasing_one_port_start_the_process() -> None:
    asked: list[tuple[str, bool]] = []

    def ask(message: Mapping[str, Any], start: bool) -> dict[str, Any]:
        asked.append((message["do"], start))
        return {"ok": True, "ports": []}

    ports = Ports(MemoryHost(), ask)
    ports.relay(WEB, [PORT])
    ports.hold(WEB, HELD_PORT)
    ports.release(WEB, HELD_PORT)
    assert asked == [("relay", True), ("hold", True), ("release", True)]


def test_without_a_process_nothing_is_listed(host: MemoryHost) -> None:
    assert Ports(host, NoProcess()).state() == {"relayed": [], "held": [], "connections": 0}
