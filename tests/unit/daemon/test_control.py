"""Asking a service over its socket: messages come out as they went in, and nothing that one client does stops another."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from linkspan.cni.errors import PortTaken, TryAgain
from linkspan.daemon import control
from linkspan.daemon.loop import Loop


def test_messages_come_out_as_they_went_in_wherever_they_are_cut() -> None:
    stream = control.pack({"a": 1}) + control.pack({"b": "ü"})
    for cut in range(len(stream)):
        got, rest = [], b""
        for piece in (stream[:cut], stream[cut:]):
            rest += piece
            while (unpacked := control.unpack(rest))[0] is not None:
                got.append(unpacked[0])
                rest = unpacked[1]
        assert (got, rest) == ([{"a": 1}, {"b": "ü"}], b"")


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\0\0\0\2[]", b"\0\0\0\1{"])
def test_what_is_no_message_is_told(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        control.unpack(data)


def test_an_error_that_is_replied_keeps_its_code_and_words() -> None:
    found = control.error_in({"code": 104, "msg": "m", "details": "d"})
    assert (type(found), found.code, found.msg, found.details) == (PortTaken, 104, "m", "d")


@pytest.mark.parametrize("reply", [{}, {"code": "x", "msg": "", "details": ""}, {"code": None}], ids=str)
def test_an_error_that_cannot_be_read_is_a_passing_condition(reply: dict[str, object]) -> None:
    assert isinstance(control.error_in(reply), TryAgain)


# --- a service and its clients ---------------------------------------------------------------------------------


class Service:
    """A control socket in a thread, which answers `{"n": N}` with `{"n": N + 1}`."""

    def __init__(self, path: str) -> None:
        self.failures: list[Exception] = []
        self.loop = Loop(self.failures.append)
        self.control = control.Control(self.loop, path, lambda message: {"n": message["n"] + 1})
        self._thread = threading.Thread(target=self.loop.run)

    def __enter__(self) -> Service:
        self.loop.every(0.005, lambda: None)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.stop()
        self._thread.join()
        self.control.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(str(tmp_path / "sock")) as made:
        yield made


def reach(service: Service) -> control.Client:
    client = control.reach(service.control.endpoint.path, 2.0)
    assert client is not None
    return client


def test_each_message_is_answered_and_clients_do_not_wait_for_each_other(service: Service) -> None:
    with closing(reach(service)) as one, closing(reach(service)) as two:
        assert [one.ask({"n": 1}), two.ask({"n": 5}), one.ask({"n": 2})] == [{"n": 2}, {"n": 6}, {"n": 3}]


def test_a_client_knows_who_answers_it(service: Service) -> None:
    with closing(reach(service)) as client:
        assert (client.pid, client.root) == (os.getpid(), "")


def test_a_client_that_sends_nonsense_is_hung_up_on_and_others_are_not(service: Service) -> None:
    nonsense = control.connect(service.control.endpoint.path, 2.0)
    assert nonsense is not None
    with closing(reach(service)) as client, nonsense:
        nonsense.sendall(b"\xff\xff\xff\xff")
        assert (nonsense.recv(1), client.ask({"n": 1})) == (b"", {"n": 2})


def test_a_message_that_cannot_be_answered_is_reported_and_the_service_goes_on(service: Service) -> None:
    with closing(reach(service)) as client:
        with pytest.raises(TimeoutError):
            _short(client).ask({})
        assert client.ask({"n": 1}) == {"n": 2}
    assert [type(each) for each in service.failures] == [KeyError]


def _short(client: control.Client) -> control.Client:
    client._sock.settimeout(0.1)
    return client


def test_the_socket_is_for_our_user_only_and_goes_with_the_service(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with Service(str(path)):
        assert (path.stat().st_mode & 0o777, os.listdir(tmp_path)) == (0o600, ["sock"])
    assert os.listdir(tmp_path) == []


def test_nobody_at_a_path_is_told_at_once(tmp_path: Path) -> None:
    assert control.reach(str(tmp_path / "sock"), 2.0) is None


def test_a_socket_that_another_has_replaced_is_not_taken_away(tmp_path: Path) -> None:
    first, second = (control.Endpoint(str(tmp_path / "sock")) for _ in range(2))
    assert (first.in_place(), second.in_place()) == (False, True)
    first.close()
    assert second.in_place()
    second.close()


def test_a_connection_of_another_user_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = control.Endpoint(str(tmp_path / "sock"))
    monkeypatch.setattr(control, "peer_of", lambda _: control.Peer(1, os.geteuid() + 1))
    other = control.connect(endpoint.path, 2.0)
    assert other is not None
    with other:
        assert (endpoint.accept(), other.recv(1)) == (None, b"")
    endpoint.close()
