"""Detecting that a service was killed, and starting it again.

The supervisor watches the services that it keeps, and each of them watches the supervisor. A service that
ends in an orderly way removes its socket. If the socket exists and nobody listens on it, the service was
killed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing

from linkspan.daemon.control import connect, peer_of
from linkspan.daemon.log import say
from linkspan.daemon.loop import READ, Descriptor, Loop
from linkspan.daemon.service import Service

#: Seconds between two looks at the path, which find a service that was started or replaced meanwhile. The end
#: of one that is known is noticed at once.
INTERVAL = 0.5
#: Seconds: a service that ended sooner than this is started again less and less often.
_SETTLED = 10.0
_CONNECTING = 1.0


class Partner:
    """Calls `killed` when a service was killed, again until it is back, with growing pauses."""

    def __init__(self, loop: Loop, service: Service, killed: Callable[[], object]) -> None:
        self._loop, self._service, self._killed = loop, service, killed
        self._inode = 0
        self._process: Descriptor | None = None
        self._known_since = 0.0
        self._pause = Pause(first=1.0, most=_SETTLED)
        self.pid = 0
        loop.every(INTERVAL, self.check)
        self.check()

    def check(self) -> None:
        """Find out who the service is now."""
        inode = _inode(self._service.socket)
        if inode == self._inode:
            return
        self._forget()
        if inode:
            self._find(inode)

    def _find(self, inode: int) -> None:
        sock = connect(self._service.socket, _CONNECTING)
        if sock is None:
            self._report()
            return
        with closing(sock):
            pid = peer_of(sock).pid
        try:
            self._process = Descriptor(os.pidfd_open(pid))
        except OSError:  # it ends just now, or is in another PID namespace
            return
        self._inode, self.pid, self._known_since = inode, pid, time.monotonic()
        self._loop.watch(self._process, READ, self._ended)

    def _ended(self) -> None:
        if time.monotonic() - self._known_since > _SETTLED:
            self._pause.reset()
        self._forget()
        self.check()

    def _report(self) -> None:
        if self._pause.is_over():
            self._pause.begin()
            self._killed()

    def _forget(self) -> None:
        if self._process is not None:
            self._loop.close(self._process)
        self._process, self._inode, self.pid = None, 0, 0


class Pause:
    """Pauses between attempts: none before the first, then `first` seconds, doubled up to `most`."""

    def __init__(self, *, first: float, most: float) -> None:
        self._first, self._most = first, most
        self.seconds = 0.0
        self._over = 0.0

    def is_over(self) -> bool:
        """Whether it is time for the next attempt."""
        return time.monotonic() >= self._over

    def begin(self) -> None:
        """An attempt is made now."""
        self.seconds = min(self.seconds * 2 or self._first, self._most)
        self._over = time.monotonic() + self.seconds

    def reset(self) -> None:
        """The next attempt may be made at once."""
        self.seconds = self._over = 0.0


def start_if_killed(service: Service) -> None:
    """Start a service whose path is there and at which nobody listens. Raises IoFailure, OSError."""
    if _inode(service.socket):
        sock = connect(service.socket, _CONNECTING)
        if sock is None:
            say(f"{service.title} was killed; it is started again")
            service.start()
        else:
            sock.close()


def keep_supervised(loop: Loop, supervisor: Service) -> Partner:
    """In a service that a supervisor keeps: start the supervisor again if it is killed."""
    return Partner(loop, supervisor, lambda: start_if_killed(supervisor))


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0
