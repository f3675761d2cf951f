"""A service that is watched: killed, ended in order, replaced."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linkspan import paths
from linkspan.daemon.control import Endpoint
from linkspan.daemon.loop import Loop
from linkspan.daemon.partner import Partner, Pause, start_if_killed
from linkspan.daemon.service import Service

SERVICE = Service("thing", "/nowhere")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "RUN_DIR", str(tmp_path))
    Path(paths.state_dir()).mkdir()


@pytest.fixture
def start() -> Iterator[Callable[[], int]]:
    """Starts a process that listens as the service and returns its process id; SIGTERM ends it in order."""
    pids = []

    def one() -> int:
        ready, done = os.pipe()
        pid = os.fork()
        if pid == 0:
            endpoint = Endpoint(SERVICE.socket)

            def end(*_: object) -> None:
                endpoint.close()
                os._exit(0)

            signal.signal(signal.SIGTERM, end)
            os.write(done, b"-")
            while True:
                time.sleep(60)
        os.read(ready, 1)
        pids.append(pid)
        return pid

    yield one
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


class Watching:
    """A loop with a partner; `killed` counts."""

    def __init__(self) -> None:
        self.killed = 0
        self.loop = Loop(lambda error: pytest.fail(repr(error)))
        self.partner = Partner(self.loop, SERVICE, self._count)

    def _count(self) -> None:
        self.killed += 1
        self.loop.stop()

    def run(self, seconds: float = 1.0) -> None:
        """Until it was killed, or for so long."""
        self.loop._running = True
        timer = self.loop.later(seconds, self.loop.stop)
        self.loop.run()
        timer.cancel()


def end(pid: int, number: signal.Signals) -> None:
    os.kill(pid, number)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_one_that_is_killed_is_reported_at_once(start: Callable[[], int]) -> None:
    pid = start()
    watching = Watching()
    assert watching.partner.pid == pid
    end(pid, signal.SIGKILL)
    watching.run(0.2)
    assert watching.killed == 1


def test_one_that_ends_in_order_is_not_reported(start: Callable[[], int]) -> None:
    pid = start()
    watching = Watching()
    end(pid, signal.SIGTERM)
    watching.run()
    assert (watching.killed, watching.partner.pid) == (0, 0)


def test_one_that_was_killed_before_anybody_watched_is_reported(start: Callable[[], int]) -> None:
    end(start(), signal.SIGKILL)
    watching = Watching()
    assert watching.killed == 1


def test_the_one_that_took_its_place_is_watched(start: Callable[[], int]) -> None:
    end(start(), signal.SIGKILL)
    watching = Watching()
    second = start()
    watching.run()
    assert watching.partner.pid == second
    end(second, signal.SIGKILL)
    watching.run()
    assert watching.killed == 2


def test_a_service_that_is_absent_is_not_reported() -> None:
    watching = Watching()
    watching.run(0.6)
    assert watching.killed == 0


def test_only_one_that_was_killed_is_started(
    start: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(Service, "start", lambda self: started.append(self.name))
    start_if_killed(SERVICE)
    pid = start()
    start_if_killed(SERVICE)
    assert started == []
    end(pid, signal.SIGKILL)
    start_if_killed(SERVICE)
    assert started == ["thing"]


def test_pauses_grow_up_to_the_longest_and_start_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pause, lengths = Pause(first=1.0, most=5.0), []
    for _ in range(4):
        assert pause.is_over()
        pause.begin()
        assert not pause.is_over()
        lengths.append(pause.seconds)
        now[0] += pause.seconds
    assert lengths == [1.0, 2.0, 4.0, 5.0]
    pause.begin()
    pause.reset()
    assert pause.is_over()
