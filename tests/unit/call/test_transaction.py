"""Rollback and best effort are written once, here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from linkspan.call.transaction import Undo, best_effort, carry_out, describe
from linkspan.cni.errors import CniError, IoFailure
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


def test_best_effort_does_everything_and_raises_the_first_with_the_others() -> None:
    done: list[str] = []

    def fail(text: str) -> None:
        raise CniError(text)

    with pytest.raises(CniError, match="one") as caught:
        best_effort(lambda: fail("one"), lambda: done.append("x"), lambda: fail("two"))
    assert done == ["x"]
    assert "two" in caught.value.details


def test_plan_can_be_read() -> None:
    assert describe((Log("a"),)) == ["Log name='a' log=[] fails=False undo_fails=False"]
