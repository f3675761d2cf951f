"""Restoring what somebody removed: when, in which process, and how often.

A process is forked for it, because it waits for locks. What it finds is in its report, one JSON object. It
restores packet rules only: a missing link or address, or forwarding that is off, may be intended and is only
reported.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from linkspan.daemon.log import say
from linkspan.daemon.loop import READ, Loop, Timer
from linkspan.daemon.partner import Pause
from linkspan.workers.child import fork_for

#: Seconds to wait for more announcements of the same change.
SETTLE = 0.02
#: Seconds that restoring may take.
HUNG = 100.0
#: A check that found nothing missing is followed by a pause of so many times its duration.
_UNNEEDED = 10
#: Restored so often within so many seconds, it is a contest with another program; the pauses between two
#: rounds then grow to the longest, in seconds.
_ROUNDS, _PERIOD, _LONGEST = 3, 10.0, 30.0
_SHOWN = 5


@dataclass(slots=True)
class State:
    """What the supervisor tells of it. `contest` is why it waits, "" if it does not."""

    restored: int = 0
    last: str = ""
    by: str = ""
    contest: str = ""
    noticed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


@dataclass(slots=True)
class _Run:
    pid: int
    channel: socket.socket
    begun: float
    received: bytearray = field(default_factory=bytearray)


class Healing:
    """At most one process that restores, and the pauses between two."""

    def __init__(self, loop: Loop, task: Callable[[socket.socket], object]) -> None:
        self.state = State()
        self._loop, self._task = loop, task
        self._run: _Run | None = None
        self._timer: Timer | None = None
        self._due = 0.0
        self._again: float | None = None
        self._rounds: list[float] = []
        self._pause = Pause(first=1.0, most=_LONGEST)
        self._failures = Pause(first=1.0, most=_LONGEST)
        self._not_before = 0.0
        self._author = ""

    def request(self, author: str = "", *, wait: float = SETTLE) -> None:
        """Something may be missing, and `author` is who may have removed it. Begin after so many seconds."""
        self._author = author or self._author
        if self._run is not None:
            self._again = wait if self._again is None else min(wait, self._again)
            return
        now = time.monotonic()
        due = max(now + wait, self._not_before)
        if self._timer is not None and self._due <= due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self._loop.later(due - now, self._begin)

    @property
    def is_running(self) -> bool:
        """Whether a process restores just now."""
        return self._run is not None

    def check(self) -> None:
        """End a process that takes too long, and forget a contest that is over."""
        now = time.monotonic()
        if self._run is not None and now - self._run.begun > HUNG:
            say(f"process {self._run.pid}, which restores rules, was busy for {HUNG:.0f} s and is killed")
            os.killpg(self._run.pid, signal.SIGKILL)
        if self.state.contest and now > self._not_before + _LONGEST and self._timer is None:
            say("rules are no longer removed")
            self.state.contest = ""
            self._pause.reset()

    def _begin(self) -> None:
        self._timer, self._again = None, None
        pid, channel = fork_for("rules", self._task)
        self._run = _Run(pid, channel, time.monotonic())
        self._loop.watch(channel, READ, self._receive)

    def _receive(self) -> None:
        assert self._run is not None  # noqa: S101 - its channel is what we are called for
        try:
            piece = self._run.channel.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        self._run.received += piece
        if not piece:
            self._end(self._run)

    def _end(self, run: _Run) -> None:
        self._loop.close(run.channel)
        os.waitpid(run.pid, 0)
        self._run = None
        now = time.monotonic()
        report = _decoded(run.received)
        self._note(report)
        if report.get("missing"):
            self._restored(report["missing"], now)
        else:
            self._not_before = now + _UNNEEDED * (now - run.begun)
        if self.state.failed:
            self._failures.begin()
            self._not_before = max(self._not_before, now + self._failures.seconds)
        else:
            self._failures.reset()
        self._author = "" if self._again is None else self._author
        if self._again is not None or self.state.failed:
            self.request(wait=SETTLE if self._again is None else self._again)

    def _restored(self, missing: list[str], now: float) -> None:
        self.state.restored += 1
        self.state.last = f"{time.strftime('%Y-%m-%d %H:%M:%S')}: {_some(missing)}"
        self.state.by = self._author
        self._rounds = [*(each for each in self._rounds if now - each < _PERIOD + _LONGEST), now]
        recent = [each for each in self._rounds if now - each < _PERIOD]
        if len(recent) >= _ROUNDS or self.state.contest:
            self._pause.begin()
            self._not_before = now + self._pause.seconds
            contest = f"{self._author or 'another program'} removes them again and again"
            if contest != self.state.contest:
                say(f"rules of linkspan: {contest}; they are restored less often")
            self.state.contest = contest
        by = f" (removed by {self._author})" if self._author else ""
        say(f"restored what was missing{by}: {_some(missing)}")

    def _note(self, report: dict[str, Any]) -> None:
        noticed, failed = tuple(report.get("noticed", ())), tuple(report.get("failed", ()))
        for each in noticed:
            if each not in self.state.noticed:
                say(f"{each}; `linkspan reload` restores it if that was not intended")
        for each in failed:
            if each not in self.state.failed:
                say(f"not restored: {each}")
        self.state.noticed, self.state.failed = noticed, failed


def _decoded(received: bytearray) -> dict[str, Any]:
    """The report of a process; empty if it died before."""
    try:
        report = json.loads(received)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def _some(sentences: Iterable[str]) -> str:
    """The first of the sentences, each once, and how many others there are."""
    every = tuple(dict.fromkeys(sentences))
    rest = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return f"{'; '.join(every[:_SHOWN])}{rest}"
