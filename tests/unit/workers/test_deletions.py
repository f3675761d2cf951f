"""DELs that wait for their containers are made again when these have ended, one at a time."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from linkspan import paths
from linkspan.call import deferral
from linkspan.call.deferral import Deferred
from linkspan.call.sandbox import Sandbox
from linkspan.cni.model import Attachment
from linkspan.daemon.loop import Loop
from linkspan.host.contract import Netns
from linkspan.host.linux.files import LinuxFiles
from linkspan.workers import deletions, worker
from linkspan.workers.deletions import Deletions

ONE = Attachment("net", "c1", "eth0")


class Stage:
    """Deletions with a state directory of the test's own; `links` are those that exist."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = paths.state_dir()
        self._host: Any = SimpleNamespace(files=LinuxFiles(state), state_dir=state)
        self.calls: list[socket.socket] = []
        self.links = {ONE.host_veth}
        monkeypatch.setattr(deletions, "_is_there", lambda link: link in self.links)
        self.loop = Loop(lambda error: pytest.fail(repr(error)))
        self.deletions = Deletions(self.loop, self.calls.append)

    def keep(self, plugin: str = "bridge", tried: float = 0.0, **env: str) -> None:
        sandbox = Sandbox(Netns(1, 2), "/proc/7/ns/net", "boot")
        deferral._write(
            self._host,
            Deferred(
                plugin=plugin,
                attachment=ONE,
                sandbox=sandbox,
                stdin=b'{"name": "net"}',
                env={"CNI_COMMAND": "DEL", **env},
                cwd="/somewhere",
                since=1.0,
                tried=tried,
            ),
        )

    def look(self) -> int:
        """How many calls have been made."""
        self.deletions._look()
        return len(self.calls)

    def answer(self) -> None:
        """What a worker does at the end of a call."""
        self.calls[-1].close()
        self.loop.later(0.0, self.loop.stop)
        self.loop._running = True
        self.loop.run()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(paths, "RUN_DIR", str(tmp_path))
    made = Stage(monkeypatch)
    yield made
    for each in made.calls:
        each.close()


def test_without_any_nothing_happens(stage: Stage) -> None:
    assert (stage.look(), stage.deletions.any_kept()) == (0, False)


def test_one_waits_while_the_containers_link_is_there(stage: Stage) -> None:
    stage.keep()
    assert (stage.look(), stage.deletions.any_kept()) == (0, True)


def test_one_whose_link_is_gone_is_made_as_the_call_that_it_was(stage: Stage) -> None:
    stage.keep(CNI_CONTAINERID="c1")
    stage.links.clear()
    assert stage.look() == 1
    call, descriptors = worker._receive(stage.calls[0])
    assert (call.cni_type, call.cwd, call.stdin) == ("bridge", "/somewhere", b'{"name": "net"}')
    assert call.env == {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c1"}
    assert list(descriptors) == ["stderr"]
    os.close(descriptors["stderr"])


def test_no_other_is_made_until_it_is_answered(stage: Stage) -> None:
    stage.keep()
    stage.links.clear()
    assert (stage.look(), stage.look()) == (1, 1)
    stage.answer()
    assert stage.look() == 2


def test_one_that_failed_is_not_made_again_at_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1000.0)
    stage.links.clear()
    stage.keep(tried=999.0)
    assert stage.look() == 0
    stage.keep(tried=900.0)
    assert stage.look() == 1


def test_one_is_made_from_time_to_time_though_a_link_is_there(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.keep()
    monkeypatch.setattr(deletions, "PATIENCE", -1.0)
    assert stage.look() == 1


def test_a_link_is_there_or_not() -> None:
    assert (deletions._is_there("lo"), deletions._is_there("veth-none")) == (True, False)
