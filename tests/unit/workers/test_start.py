"""Who the resident is, asked from outside."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from linkspan import paths
from linkspan.cni.errors import IoFailure
from linkspan.daemon.control import Endpoint
from linkspan.daemon.service import Service
from linkspan.daemon.services import RESIDENT
from linkspan.workers import start


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of the test's own."""
    monkeypatch.setattr(paths, "RUN_DIR", str(tmp_path))
    folder = Path(paths.state_dir())
    folder.mkdir()
    return folder


@contextmanager
def resident(greeting: bytes) -> Iterator[None]:
    """Accepts one connection and greets; with b"" it accepts nothing, as a stopped process does."""
    endpoint = Endpoint(RESIDENT.socket)
    endpoint.sock.setblocking(True)

    def greet() -> None:
        connection = endpoint.accept()
        if connection is not None:
            with connection:
                connection.sendall(greeting)

    thread = threading.Thread(target=greet)
    if greeting:
        thread.start()
    yield
    if greeting:
        thread.join()
    endpoint.close()


def test_nobody_who_listens_is_nobody() -> None:
    assert start.peer() is None


def test_a_resident_is_known_by_its_process_and_greeting() -> None:
    with resident(b"linkspan 1 build\n"):
        assert start.peer() == (os.getpid(), "linkspan 1 build")


def test_a_resident_that_does_not_greet_in_time_is_known_by_its_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(start, "_GREETING", 0.05)
    with resident(b""):
        assert start.peer() == (os.getpid(), "")


def test_one_that_does_not_start_is_an_error_that_names_its_log(
    monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    monkeypatch.setattr(start, "_START", 0.05)
    monkeypatch.setattr(Service, "start", lambda _: None)
    with pytest.raises(IoFailure) as raised:
        start.start_and_wait()
    assert str(state / "resident.log") in raised.value.details


def test_one_that_runs_is_not_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Service, "start", lambda _: pytest.fail("it was started"))
    monkeypatch.setattr(start, "peer", lambda: (1, "linkspan 1"))
    start.start_and_wait()
