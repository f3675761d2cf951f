"""One thread that waits for all sockets and timers of the server."""

from __future__ import annotations

import heapq
import selectors
import signal
import socket
import time
from collections.abc import Callable
from itertools import count

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Timer:
    """Something to do later; `cancel` makes it nothing."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Do not do it."""
        self.action = None


class Loop:
    """Calls what was registered for a socket when it is ready, and timers when they are due."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self._running = True
        self._waking: socket.socket | None = None

    def watch(self, sock: socket.socket, events: int, action: Callable[[], None]) -> None:
        """Call `action` whenever the socket is ready; again for a watched socket replaces what was said."""
        if sock in self._selector.get_map():
            self._selector.modify(sock, events, action)
        else:
            self._selector.register(sock, events, action)

    def close(self, sock: socket.socket) -> None:
        """Watch a socket no longer, and close it."""
        if sock.fileno() >= 0 and sock in self._selector.get_map():
            self._selector.unregister(sock)
        sock.close()

    def later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Call `action` once, that many seconds from now."""
        timer = Timer(action)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), timer))
        return timer

    def stop(self) -> None:
        """End `run` after what is being done now."""
        self._running = False

    def stop_on(self, number: signal.Signals) -> None:
        """End `run` when that signal comes, though nothing else happens (signal.set_wakeup_fd)."""
        woken, waking = socket.socketpair()
        waking.setblocking(False)
        signal.set_wakeup_fd(waking.fileno())
        self._waking = waking
        signal.signal(number, lambda *_: self.stop())

        def drain() -> None:
            woken.recv(16)

        self.watch(woken, READ, drain)

    def run(self, failed: Callable[[Exception], None]) -> None:
        """Serve until `stop`. An exception of an action is told to `failed`: one client's bytes stop nobody else."""
        while self._running:
            for key, _ in self._selector.select(self._patience()):
                if key.fileobj in self._selector.get_map():
                    _guarded(key.data, failed)
            while self._timers and self._timers[0][0] <= time.monotonic():
                action = heapq.heappop(self._timers)[2].action
                if action is not None:
                    _guarded(action, failed)

    def _patience(self) -> float | None:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None


def _guarded(action: Callable[[], None], failed: Callable[[Exception], None]) -> None:
    try:
        action()
    except Exception as error:
        failed(error)
