"""The ports process is started for what must be held now, and not for what is to be released anyway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from linkspan.call.records import Records
from linkspan.cni.model import Attachment
from linkspan.daemon.services import PORTS
from linkspan.host.memory import MemoryHost
from linkspan.ports import client
from linkspan.ports.table import HeldPort
from linkspan.steps import relay

WEB = Attachment("net", "web", "eth0")
PORT = HeldPort(protocol="tcp", address="", port=8080)


def test_the_process_is_kept_while_there_are_records_of_its_own() -> None:
    assert PORTS.records == (relay.RECORDS, client.RECORDS)


class Asked:
    """Services that answer nothing; `messages` has what they were asked, and whether to start the process."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bool]] = []

    def ask(self, service: str, message: Mapping[str, Any], *, start: bool = True) -> None:
        assert service == "ports"
        self.messages.append((message["do"], start))


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def host(asked: Asked) -> MemoryHost:
    made = MemoryHost()
    made.services = asked  # type: ignore[assignment]
    Records(made, client.RECORDS).write(WEB, {"ports": [PORT.to_json()]})
    return made


def test_holding_and_releasing_one_port_start_the_process(host: MemoryHost, asked: Asked) -> None:
    client.hold(host, WEB, PORT)
    client.release(host, WEB, PORT)
    assert asked.messages == [("hold", True), ("release", True)]


def test_releasing_all_without_a_process_removes_the_record(host: MemoryHost, asked: Asked) -> None:
    client.release(host, WEB)
    assert (asked.messages, Records(host, client.RECORDS).read(WEB)) == ([("release", False)], None)


def test_without_a_process_nothing_is_relayed_or_held(host: MemoryHost) -> None:
    assert client.state(host) == {"relayed": [], "held": [], "connections": 0}
