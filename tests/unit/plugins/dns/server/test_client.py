"""Asking the name server: its errors come out as they went in, and its absence is an error that can be tried again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cni_dns.server import client
from linkspan.cni.errors import CniError, IoFailure, PortTaken, TryAgain
from linkspan.daemon import control
from linkspan.daemon.service import Service
from linkspan.host.memory import MemoryHost

HOST = MemoryHost()


class Connection:
    """A connection that gives the same reply always, or fails always."""

    pid = 7
    root = "/proc/7/root"

    def __init__(self, reply: Mapping[str, Any] | Exception) -> None:
        self._reply = reply

    def ask(self, _: Mapping[str, Any]) -> dict[str, Any]:
        if isinstance(self._reply, Exception):
            raise self._reply
        return dict(self._reply)


def server(reply: Mapping[str, Any] | Exception) -> client.Server:
    place = client.Place(HOST.files, HOST.state_dir)
    return client.Server(Connection(reply), place)  # type: ignore[arg-type]


def test_a_reply_comes_out_as_it_went_in() -> None:
    assert server({"ok": True, "listening": ["10.5.0.1"]}).ping()["listening"] == ["10.5.0.1"]


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        ({"ok": False, "code": 104, "msg": "m", "details": "d"}, PortTaken, 104),
        ({"ok": False, "code": 101, "msg": "m", "details": "d"}, CniError, 101),
        (TimeoutError(), TryAgain, 11),
        (ConnectionResetError("it hung up"), TryAgain, 11),
        (ValueError("nonsense"), TryAgain, 11),
    ],
)
def test_an_error_has_the_code_that_fits(
    reply: Mapping[str, Any] | Exception, kind: type[CniError], code: int
) -> None:
    with pytest.raises(kind) as raised:
        server(reply).list()
    assert raised.value.code == code


def test_a_server_that_does_not_reply_is_named() -> None:
    with pytest.raises(TryAgain, match="pid 7"):
        server(TimeoutError()).ping()


def test_records_are_where_the_server_sees_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "reach", lambda *_: Connection({}))
    found = client.reach(HOST)
    assert found is not None
    assert found.place.state_dir == f"/proc/7/root{HOST.state_dir}"


def test_a_server_that_does_not_come_up_is_an_error_after_it_was_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[str] = []
    monkeypatch.setattr(control, "reach", lambda *_: None)
    monkeypatch.setattr(Service, "start", lambda service: started.append(service.name))
    monkeypatch.setattr(client, "START", 0.05)
    with pytest.raises(IoFailure, match="does not start"):
        client.reach_or_start(HOST)
    assert started == ["dns"]
