"""The serving process without its sockets: what it is told, what it writes down, and when it leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cni_dns.server import listeners, main
from cni_dns.server.main import Server
from linkspan.call.records import Records
from linkspan.cni.errors import PortTaken
from linkspan.cni.model import Attachment
from linkspan.host.memory import MemoryHost
from tests.harness.queries import DB, GATEWAY, WEB


class Listener:
    """A listener that is never asked; the address "taken" cannot be listened on."""

    def __init__(self, _: object, device: str, address: str, *__: object) -> None:
        self.device, self.index = device, 1
        if address == "taken":
            raise PortTaken("port 53 of taken is taken", "stop it")

    def close(self) -> None:
        """As listen.Listener."""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> MemoryHost:
    monkeypatch.setattr(main, "Listener", Listener)
    for module in (main, listeners):
        monkeypatch.setattr(module, "index_of", lambda name: int(name != "gone"))
    made = MemoryHost()
    made.links().create_bridge("br0")
    return made


def ask(server: Server, do: str, **more: Any) -> dict[str, Any]:
    return server._answer({"do": do, **more})


def recorded(host: MemoryHost) -> set[Attachment]:
    return {attachment for attachment, _ in Records(host, "dns").all()}


def listed(server: Server) -> tuple[list[str], list[str]]:
    """(first names, addresses that are listened on)."""
    answer = ask(server, "list")
    return [each["names"][0] for each in answer["records"]], answer["listening"]


def test_registered_names_are_listed_listened_for_and_written_down(host: MemoryHost) -> None:
    server = Server(host)
    assert ask(server, "register", record=WEB.record()) == {"ok": True}
    assert (listed(server), recorded(host)) == ((["web"], [GATEWAY]), {WEB.attachment})


def test_without_names_nothing_is_listened_on(host: MemoryHost) -> None:
    server = Server(host)
    ask(server, "register", record=WEB.record())
    one = WEB.attachment
    ask(server, "unregister", network=one.network, containerID=one.container_id, ifname=one.ifname)
    assert listed(server) == ([], [])


def test_an_address_that_was_given_to_another_takes_the_first_one_s_record_away(host: MemoryHost) -> None:
    server = Server(host)
    ask(server, "register", record=WEB.record())
    heir = replace(DB, addresses=WEB.addresses)
    ask(server, "register", record=heir.record())
    assert (listed(server)[0], recorded(host)) == (["db"], {DB.attachment})


def test_a_port_that_is_taken_is_an_error_and_leaves_no_listener(host: MemoryHost) -> None:
    server = Server(host)
    answer = ask(server, "register", record=replace(WEB, listen=(GATEWAY, "taken")).record())
    assert (answer["ok"], answer["code"], answer["details"]) == (False, PortTaken.code, "stop it")
    assert listed(server) == ([], [])


@pytest.mark.parametrize(
    "request_", [{"do": "dance"}, {"do": "register"}, {"do": "register", "record": {}}, {}]
)
def test_a_request_that_makes_no_sense_is_an_error(host: MemoryHost, request_: dict[str, Any]) -> None:
    answer = Server(host)._answer(request_)
    assert (answer["ok"], answer["code"]) == (False, 6)


def run(server: Server, *, loads: bool = True) -> bool:
    """As `run`, without a control socket; the loop is stopped by the first sweep or after a moment."""
    if loads:
        for _, record in server._records.all():
            server._load(record)
    server._sweep()
    server._loop.later(0.01, server._loop.stop)
    server._loop.run()
    return server.upgraded


def test_what_was_written_down_is_served_again(host: MemoryHost) -> None:
    ask(Server(host), "register", record=WEB.record())
    server = Server(host)
    run(server)
    assert listed(server) == (["web"], [GATEWAY])


def test_an_invalid_record_does_not_keep_the_others_from_being_served(host: MemoryHost) -> None:
    ask(Server(host), "register", record=WEB.record())
    Records(host, "dns").write(DB.attachment, {"names": "what"})
    server = Server(host)
    run(server)
    assert listed(server)[0] == ["web"]


def test_a_container_that_is_gone_without_a_del_loses_names_and_record(host: MemoryHost) -> None:
    server = Server(host)
    ask(server, "register", record=replace(WEB, link="gone").record())
    run(server, loads=False)
    assert (listed(server), recorded(host)) == (([], []), set())


@pytest.mark.parametrize(("installed", "upgraded"), [("another", True), ("", False), ("same", False)])
def test_another_build_takes_over_and_an_uninstallation_changes_nothing(
    host: MemoryHost, monkeypatch: pytest.MonkeyPatch, installed: str, upgraded: bool
) -> None:
    builds: list[str] = ["same"]
    monkeypatch.setattr(main, "installed_build", lambda: builds[-1])
    server = Server(host)
    ask(server, "register", record=WEB.record())
    builds.append(installed)
    assert run(server, loads=False) == upgraded
