"""A service whose files are removed comes back; one that was replaced, or goes, does not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from linkspan import paths
from linkspan.daemon import presence
from linkspan.daemon.control import Control
from linkspan.daemon.loop import Loop
from linkspan.daemon.presence import Presence
from linkspan.daemon.service import Service

SERVICE = Service("thing", "/nowhere")


class Serving:
    """A service on a loop; `renews` is what becoming the service again answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, renews: bool = True) -> None:
        self.events: list[str] = []

        def renew(_: Service) -> bool:
            os.makedirs(paths.state_dir(), exist_ok=True)
            return renews

        monkeypatch.setattr(Service, "renew", renew)
        self.loop = Loop(lambda error: pytest.fail(repr(error)))
        self.control = Control(self.loop, SERVICE.socket, lambda _: {"ok": True})
        self.presence = Presence(
            self.loop, SERVICE, self.control.in_place, self._reopen, lambda: self.events.append("replaced")
        )

    def _reopen(self) -> None:
        self.events.append("reopened")
        self.control.reopen()

    def run(self, seconds: float = 0.2) -> None:
        self.loop._running = True
        self.loop.later(seconds, self.loop.stop)
        self.loop.run()


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "RUN_DIR", str(tmp_path))
    folder = Path(paths.state_dir())
    folder.mkdir()
    return folder


REMOVALS: tuple[Callable[[Path], object], ...] = (
    shutil.rmtree,
    lambda folder: (folder / "thing.sock").unlink(),
    lambda folder: (folder / "thing.sock").rename(folder / "moved"),
)


@pytest.mark.parametrize("removal", REMOVALS, ids=["all", "the socket", "moved"])
def test_it_comes_back_at_once_each_time(
    monkeypatch: pytest.MonkeyPatch, state: Path, removal: Callable[[Path], object]
) -> None:
    serving = Serving(monkeypatch)
    for times in (1, 2):
        removal(state)
        serving.run()
        assert serving.events == ["reopened"] * times
        assert serving.control.in_place()


def test_nothing_happens_while_the_files_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    serving = Serving(monkeypatch)
    serving.run()
    assert serving.events == []


def test_one_that_was_replaced_is_told_once(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    monkeypatch.setattr(presence, "INTERVAL", 0.05)
    serving = Serving(monkeypatch, renews=False)
    shutil.rmtree(state)
    serving.run()
    assert serving.events == ["replaced"]


def test_one_that_goes_takes_its_files_away(monkeypatch: pytest.MonkeyPatch) -> None:
    serving = Serving(monkeypatch)
    serving.presence.end()
    serving.control.endpoint.unlink()
    serving.run()
    assert serving.events == []


def test_without_inotify_it_takes_a_moment(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    monkeypatch.setattr(presence, "INTERVAL", 0.05)
    monkeypatch.setattr(Presence, "_watch", lambda _: None)
    serving = Serving(monkeypatch)
    shutil.rmtree(state)
    serving.run()
    assert serving.events == ["reopened"]
