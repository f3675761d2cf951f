"""One thread that waits for sockets, timers and signals: epoll(7)."""

from __future__ import annotations

import heapq
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Protocol

READ, WRITE = select.EPOLLIN, select.EPOLLOUT


class Watched(Protocol):
    """What can be waited for: a socket, or another descriptor."""

    def fileno(self) -> int:
        """Its descriptor."""

    def close(self) -> None:
        """Close it."""


class Descriptor:
    """A bare descriptor as something that can be waited for, and is closed once."""

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        """The descriptor; -1 once it is closed."""
        return self._number

    def close(self) -> None:
        """Close it."""
        number, self._number = self._number, -1
        if number >= 0:
            os.close(number)


class Timer:
    """Something to do later, unless it is cancelled."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Do not do it."""
        self.action = None


class Loop:
    """Calls what was registered for a socket that is ready, a timer that is due, a signal that was received.

    `failed` is told of an exception that an action raises: what one client sends stops nobody else.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._epoll = select.epoll()
        self._actions: dict[int, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self._signals: dict[int, Callable[[], None]] = {}
        self._wakeup: tuple[socket.socket, socket.socket] | None = None
        self._running = True

    def watch(self, sock: Watched, events: int, action: Callable[[], None]) -> None:
        """Call `action` whenever a socket is ready for `events` (READ or WRITE) or has failed.

        It replaces the action of a socket that is watched already.
        """
        if sock.fileno() in self._actions:
            self._epoll.modify(sock, events)
        else:
            self._epoll.register(sock, events)
        self._actions[sock.fileno()] = action

    def unwatch(self, sock: Watched) -> None:
        """Watch a socket no longer, and leave it open. Nothing happens if it was not watched."""
        if self._actions.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock)

    def close(self, sock: Watched) -> None:
        """Watch a socket no longer, and close it."""
        self.unwatch(sock)
        sock.close()

    def later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Call `action` once, that many seconds from now."""
        timer = Timer(action)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), timer))
        return timer

    def every(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` that many seconds from now, and that many seconds after each of its ends."""

        def again() -> None:
            try:
                action()
            finally:
                self.later(seconds, again)

        self.later(seconds, again)

    def on_signal(self, number: signal.Signals, action: Callable[[], None]) -> None:
        """Call `action` in its turn when the process has received a signal."""
        self._signals[number] = action
        if self._wakeup is None:
            self._wakeup = receiving, sending = socket.socketpair()
            receiving.setblocking(False)
            sending.setblocking(False)
            signal.set_wakeup_fd(sending.fileno())
            self.watch(receiving, READ, self._signalled)
        signal.signal(number, lambda *_: None)

    def stop(self) -> None:
        """End `run` after what is being done now."""
        self._running = False

    def run(self) -> None:
        """Serve until `stop`."""
        while self._running:
            # An action may close a socket whose event waits in the same batch, and its number may be
            # another socket's by then.
            ready = [(number, self._actions.get(number)) for number, _ in self._epoll.poll(self._patience())]
            for number, action in ready:
                if action is not None and self._actions.get(number) is action:
                    self._call(action)
            while self._timers and self._timers[0][0] <= time.monotonic():
                due = heapq.heappop(self._timers)[2].action
                if due is not None:
                    self._call(due)

    def _patience(self) -> float | None:
        """Seconds until the first timer; None without one."""
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _signalled(self) -> None:
        assert self._wakeup is not None  # noqa: S101 - it is what we are called for
        with suppress(BlockingIOError):
            for number in self._wakeup[0].recv(64):
                if number in self._signals:
                    self._signals[number]()

    def _call(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            self._failed(error)
