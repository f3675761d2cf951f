"""Rollback and best effort are written once, here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from linkspan.call.transaction import Transaction, Undo, attempt, best_effort, carry_out
from linkspan.cni.errors import Bug, CniError, IoFailure, TryAgain
from linkspan.host.contract import Host

HOST = cast("Host", None)


@dataclass
class Log:
    """A step that writes what happens to it."""

    name: str
    log: list[str] = field(default_factory=list)
    fails: bool = False
    undo_fails: bool = False

    def do(self, _: Any) -> Undo:
        if self.fails:
            raise IoFailure(f"{self.name} failed")
        self.log.append(f"do {self.name}")
        return self.undo

    def undo(self) -> None:
        self.log.append(f"undo {self.name}")
        if self.undo_fails:
            raise IoFailure(f"undo of {self.name} failed")


@dataclass
class Raises:
    """A step that an exception ends."""

    error: BaseException

    def do(self, _: Any) -> Undo:
        raise self.error


def test_failed_plan_is_undone_in_reverse() -> None:
    log: list[str] = []
    with pytest.raises(IoFailure, match="c failed"):
        carry_out((Log("a", log), Log("b", log), Log("c", log, fails=True)), HOST)
    assert log == ["do a", "do b", "undo b", "undo a"]


def test_first_error_is_told_and_the_undo_s_is_in_its_details() -> None:
    with pytest.raises(IoFailure, match="c failed") as caught:
        carry_out((Log("a", undo_fails=True), Log("c", fails=True)), HOST)
    assert "undo of a failed" in caught.value.details


def test_undo_of_a_whole_plan_takes_everything_back() -> None:
    log: list[str] = []
    carry_out((Log("a", log), Log("b", log)), HOST)()
    assert log == ["do a", "do b", "undo b", "undo a"]


def test_whatever_leaves_the_block_undoes_what_was_done_and_is_reported_as_a_fault() -> None:
    log: list[str] = []
    steps = (Log("a", log), Raises(ZeroDivisionError()))
    with pytest.raises(Bug, match="ZeroDivisionError"):
        carry_out(steps, HOST)
    assert log == ["do a", "undo a"]


def test_an_interruption_undoes_and_asks_to_try_again() -> None:
    log: list[str] = []
    with pytest.raises(TryAgain):
        carry_out((Log("a", log), Raises(KeyboardInterrupt())), HOST)
    assert log == ["do a", "undo a"]


def test_an_undo_that_fails_does_not_keep_the_others_from_theirs() -> None:
    log: list[str] = []
    with pytest.raises(Bug) as caught:
        carry_out((Log("a", log), Log("b", log, undo_fails=True), Raises(MemoryError())), HOST)
    assert log == ["do a", "do b", "undo b", "undo a"]
    assert "undo of b failed" in caught.value.details


def test_what_no_step_did_is_undone_in_its_turn() -> None:
    log: list[str] = []
    transaction = Transaction(HOST)
    transaction.do(Log("a", log))
    transaction.on_failure(lambda: log.append("give back"))
    transaction.do(Log("b", log))
    transaction.undo()
    assert log == ["do a", "do b", "undo b", "give back", "undo a"]


def test_a_block_that_succeeds_undoes_nothing() -> None:
    log: list[str] = []
    with Transaction(HOST) as transaction:
        transaction.do(Log("a", log))
    assert log == ["do a"]


class Observing:
    """An observer that notes what it is told."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def facts(self, facts: object) -> None:
        self.log.append(f"facts {facts}")

    def step(self, step: Any) -> None:
        self.log.append(f"step {step.name}")


def test_an_observer_is_told_the_facts_and_each_step_before_it_is_done() -> None:
    log: list[str] = []
    with Transaction(HOST, Observing(log)) as transaction:
        transaction.planned_from("f")
        transaction.do(Log("a", log))
    assert log == ["facts f", "step a", "do a"]


def test_an_attempt_that_fails_is_undone_as_it_may_have_been_carried_out() -> None:
    log: list[str] = []
    with pytest.raises(Bug, match="ZeroDivisionError"):
        attempt(HOST, lambda: 1 / 0, lambda: log.append("undo"))
    assert log == ["undo"]


def test_an_attempt_that_succeeds_returns_its_undo() -> None:
    log: list[str] = []
    undo = attempt(HOST, lambda: log.append("do"), lambda: log.append("undo"))
    assert log == ["do"]
    undo()
    assert log == ["do", "undo"]


def test_best_effort_does_everything_and_raises_the_first_with_the_others() -> None:
    done: list[str] = []

    def fail(text: str) -> None:
        raise CniError(text)

    with pytest.raises(CniError, match="one") as caught:
        best_effort(lambda: fail("one"), lambda: done.append("x"), lambda: fail("two"))
    assert done == ["x"]
    assert "two" in caught.value.details


def test_best_effort_goes_on_after_an_unforeseen_exception() -> None:
    done: list[str] = []
    with pytest.raises(Bug, match="ZeroDivisionError"):
        best_effort(lambda: 1 / 0, lambda: done.append("x"))
    assert done == ["x"]
