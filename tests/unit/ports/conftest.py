"""A loop that runs beside the test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from linkspan.daemon.loop import READ, Loop


class Running:
    """A loop in a thread of its own. `failures` are the exceptions of its actions."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.loop = Loop(self.failures.append)
        self._stop, self._stopped = socket.socketpair()
        self.loop.watch(self._stopped, READ, self.loop.stop)
        self._thread = threading.Thread(target=self.loop.run)

    def start(self) -> None:
        """Begin to serve: what is registered before is registered by one thread only."""
        self._thread.start()

    def stop(self) -> None:
        """End it; no action failed."""
        if self._thread.is_alive():
            self._stop.send(b".")
            self._thread.join()
        self._stop.close()
        assert self.failures == []


@pytest.fixture
def running() -> Iterator[Running]:
    """A loop that is ended after the test."""
    made = Running()
    yield made
    made.stop()
