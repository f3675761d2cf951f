"""Handing a call over: from the moment it is sent whole, the launcher must never run it itself."""

from __future__ import annotations

from typing import Any

from linkspan.launch import launcher


class HungUp:
    """A resident that took the whole frame, carried it out, answered and hung up before we go on."""

    def settimeout(self, _: float | None) -> None:
        pass

    def sendmsg(self, pieces: list[bytes], _: Any) -> int:
        return sum(map(len, pieces))

    def sendall(self, _: bytes) -> None:
        raise BrokenPipeError


class Halfway(HungUp):
    """A resident that hung up before it had the frame."""

    def sendmsg(self, pieces: list[bytes], _: Any) -> int:
        return sum(map(len, pieces)) - 1


def test_a_call_that_was_sent_whole_counts_as_sent_though_the_resident_is_gone() -> None:
    """It may have been carried out: running it here would run it twice."""
    assert launcher._send(HungUp(), "bridge", b"{}")  # type: ignore[arg-type]


def test_a_call_that_was_cut_short_counts_as_not_sent() -> None:
    """Nobody begins a call he has not got whole."""
    assert not launcher._send(Halfway(), "bridge", b"{}")  # type: ignore[arg-type]
