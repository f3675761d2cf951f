"""Asking a service: its reply, its error, and what happens if it does not run, hangs, or is just exiting."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from linkspan import paths
from linkspan.cni.errors import CniError, DelegateFailed, IoFailure, PortTaken, TryAgain
from linkspan.daemon import services
from linkspan.daemon.control import Endpoint, Message, pack, unpack
from linkspan.daemon.service import Service
from linkspan.daemon.services import ask

MESSAGE = {"do": "list"}
#: What a served client gets: a reply, or None for a closed connection.
Reply = Callable[[Message], "Message | None"]


class Listening:
    """A process that listens as the service does, and replies once to each client."""

    def __init__(self, path: str, reply: Reply) -> None:
        self._reply = reply
        self._endpoint = Endpoint(path)
        self._endpoint.sock.setblocking(True)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._endpoint.sock.accept()
                with client:
                    message, _ = unpack(client.recv(1 << 16))
                    reply = self._reply(message or {})
                    if reply is not None:
                        client.sendall(pack(reply))

    def close(self) -> None:
        self._endpoint.unlink()
        self._endpoint.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._endpoint.close()


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A service whose program does nothing."""
    monkeypatch.setattr(paths, "RUN_DIR", str(tmp_path))
    monkeypatch.setattr(services, "START", 0.5)
    monkeypatch.setattr(services, "REPLY", 0.2)
    program = tmp_path / "program.py"
    program.write_text("")
    Path(paths.state_dir()).mkdir()
    return Service("test", str(program), role="test")


@pytest.fixture
def listen(service: Service) -> Iterator[Callable[[Reply], None]]:
    made: list[Listening] = []
    yield lambda reply: made.append(Listening(service.socket, reply))
    for each in made:
        each.close()


Listen = Callable[[Reply], None]


def test_reply_is_that_to_the_message(service: Service, listen: Listen) -> None:
    listen(lambda message: {"ok": True, "asked": message})
    assert ask(service, MESSAGE, start=False) == {"ok": True, "asked": MESSAGE}


@pytest.mark.parametrize(("code", "kind"), [(PortTaken.code, PortTaken), (101, DelegateFailed)])
def test_error_reply_is_raised_with_its_code_and_texts(
    service: Service, listen: Listen, code: int, kind: type[CniError]
) -> None:
    listen(lambda _: {"ok": False, "code": code, "msg": "no", "details": "why"})
    with pytest.raises(kind) as raised:
        ask(service, MESSAGE, start=False)
    assert (raised.value.code, raised.value.msg, raised.value.details) == (code, "no", "why")


def test_service_that_does_not_run_has_no_reply(service: Service) -> None:
    assert ask(service, MESSAGE, start=False) is None


def test_service_that_does_not_start_is_an_error_that_names_its_log(service: Service) -> None:
    with pytest.raises(IoFailure) as raised:
        ask(service, MESSAGE, start=True)
    assert (raised.value.msg, raised.value.details) == (
        "the test process did not start",
        f"see {service.log}",
    )


def test_service_that_does_not_reply_in_time_may_be_asked_again_later(service: Service) -> None:
    endpoint = Endpoint(service.socket)
    with pytest.raises(TryAgain, match=r"the test process \(pid \d+\) does not reply"):
        ask(service, MESSAGE, start=False)
    endpoint.close()


def test_successor_of_one_that_exits_is_asked(service: Service, listen: Listen) -> None:
    replies: list[Message | None] = [None, {"ok": True}]
    listen(lambda _: replies.pop(0))
    assert ask(service, MESSAGE, start=True) == {"ok": True}


def test_garbage_is_not_a_reply(service: Service, monkeypatch: pytest.MonkeyPatch, listen: Listen) -> None:
    listen(lambda _: [])  # type: ignore[arg-type, return-value]
    with pytest.raises(TryAgain, match="connection to the test process was lost"):
        ask(service, MESSAGE, start=False)
