"""`linkspan exec`: what it does before it enters a namespace (tests/system/test_exec.py has the rest)."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.harness.layouts import fake_id, load, placed
from tests.unit.cli.conftest import Command


@pytest.fixture
def entered(command: Command, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A world with nerdctl's containers. What would be entered and executed is noted instead."""
    noted: list[Any] = []

    def enter(netns: str, files: dict[str, Any]) -> tuple[str, ...]:
        noted.append((netns, files))
        return ()

    monkeypatch.setattr("linkspan.host.linux.enter.enter", enter)
    monkeypatch.setattr("linkspan.host.linux.enter.file_of", lambda pid, path: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(os, "execvp", lambda program, arguments: noted.append((program, *arguments[1:])))
    placed(load("nerdctl"), command.world.host)
    return noted


def test_the_program_gets_its_arguments_as_they_are(command: Command, entered: list[Any]) -> None:
    assert command("exec", "-it", "web", "ping", "-c", "1", "--", "-n").exit_code == 0
    (netns, files), program = entered
    assert netns.endswith("/ns/net")
    assert files["/etc/resolv.conf"].endswith(f"/containers/default/{fake_id('web')}/resolv.conf")
    assert program == ("ping", "-c", "1", "--", "-n")


def test_a_container_that_does_not_run_is_refused(command: Command, entered: list[Any]) -> None:
    done = command("exec", "stopped", "true")
    assert (done.exit_code, entered) == (4, [])
    assert "fix: nerdctl --namespace default start stopped" in done.stderr


def test_who_may_not_enter_is_told_so(
    command: Command, entered: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("linkspan.host.linux.enter.enter", refuse)
    done = command("exec", "web", "true")
    assert (done.exit_code, "(LS-G003)" in done.stderr) == (5, True)


@pytest.mark.parametrize(
    ("failure", "status"), [(FileNotFoundError(), 127), (PermissionError(13, "denied"), 126)]
)
def test_a_program_that_cannot_be_executed_has_dockers_status(
    command: Command, entered: list[Any], monkeypatch: pytest.MonkeyPatch, failure: OSError, status: int
) -> None:
    def refuse(*_: object) -> None:
        raise failure

    monkeypatch.setattr(os, "execvp", refuse)
    assert command("exec", "web", "no-such-program").exit_code == status


def test_without_a_program_it_is_a_matter_of_usage(command: Command, entered: list[Any]) -> None:
    assert command("exec", "web").exit_code == 2
