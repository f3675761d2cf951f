"""When something is restored, in which process, and how often."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from linkspan.daemon.loop import Loop
from linkspan.workers import healing
from linkspan.workers.child import fork_for
from linkspan.workers.healing import Healing

NOTHING: dict[str, Any] = {"missing": [], "noticed": [], "failed": []}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(healing, "say", lines.append)
    return lines


def reporting(**report: list[str]) -> Callable[[socket.socket], object]:
    return lambda channel: channel.sendall(json.dumps({**NOTHING, **report}).encode())


def run(made: Healing, rounds: int = 1, then: float = 0.1) -> None:
    """Until so many rounds have ended, and a moment longer."""
    loop, end, left = made._loop, made._end, [rounds]

    def ended(one: Any) -> None:
        end(one)
        left[0] -= 1
        if left[0] == 0:
            loop.later(then, loop.stop)

    made._end = ended  # type: ignore[assignment, method-assign]
    limit = loop.later(20.0 if rounds else then, loop.stop)
    loop._running = True
    loop.run()
    limit.cancel()
    made._end = end  # type: ignore[method-assign]


def healing_with(task: Callable[[socket.socket], object]) -> Healing:
    return Healing(Loop(lambda error: pytest.fail(repr(error))), task)


def test_what_was_missing_is_counted_and_told_with_who_removed_it(said: list[str]) -> None:
    made = healing_with(reporting(missing=["the table is gone", "the table is gone", "a rule too"]))
    made.request("nft (pid 7)")
    run(made)
    assert (made.state.restored, made.state.by) == (1, "nft (pid 7)")
    assert said == ["restored what was missing (removed by nft (pid 7)): the table is gone; a rule too"]


def test_requests_of_one_moment_are_one_round(said: list[str]) -> None:
    made = healing_with(reporting(missing=["x"]))
    for _ in range(5):
        made.request()
    run(made)
    assert made.state.restored == 1


def test_a_request_that_may_wait_is_overtaken_by_one_that_may_not(said: list[str]) -> None:
    made = healing_with(reporting(missing=["x"]))
    made.request(wait=60.0)
    made.request()
    run(made)
    assert made.state.restored == 1


def test_nothing_missing_is_not_told(said: list[str]) -> None:
    made = healing_with(reporting())
    made.request()
    run(made)
    assert (made.state.restored, said) == (0, [])


def test_three_rounds_within_seconds_are_a_contest(said: list[str]) -> None:
    made = healing_with(reporting(missing=["x"]))
    for number in range(6):
        made.request("nft (pid 7)")
        run(made, rounds=int(number < 3))
    assert made.state.restored == 3
    assert made.state.contest == "nft (pid 7) removes them again and again"
    assert sum("less often" in line for line in said) == 1


def test_what_is_noticed_is_told_once_and_kept(said: list[str]) -> None:
    made = healing_with(reporting(noticed=["the bridge br0 is missing"]))
    for _ in range(2):
        made._not_before = 0.0
        made.request()
        run(made)
    assert made.state.noticed == ("the bridge br0 is missing",)
    assert said == ["the bridge br0 is missing; `linkspan reload` restores it if that was not intended"]


def test_what_could_not_be_restored_is_tried_again(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    made = healing_with(reporting(failed=["no"]))
    made._failures._first = 0.05
    rounds: list[float] = []
    monkeypatch.setattr(healing, "fork_for", _counting(rounds, fork_for))
    made.request()
    run(made, rounds=2)
    assert len(rounds) >= 2
    assert said == ["not restored: no"]


def _counting(rounds: list[float], fork: Callable[..., Any]) -> Callable[..., Any]:
    def counted(name: str, task: Callable[[socket.socket], object]) -> Any:
        rounds.append(0.0)
        return fork(name, task)

    return counted


def test_a_process_that_dies_reports_nothing(said: list[str]) -> None:
    made = healing_with(lambda _: None)
    made.request()
    run(made)
    assert (made.state.restored, said) == (0, [])
