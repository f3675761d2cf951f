"""How long one call waits for other programs and for locks: nothing waits for ever.

Runtimes give up after two minutes or later, and a resident kills a worker that is busy for 100 seconds
(workers.master.HUNG). What is waited for here ends earlier, so that the caller learns what hangs.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from contextlib import suppress

from linkspan.cni.errors import TryAgain

#: Seconds that the programs of one call may take, all together.
CALL = 80.0
#: Seconds for each further program once they are used up: to undo an ADD, or to go on with DEL.
LEAST = 5.0
#: Seconds that a lock is waited for.
LOCK = 60.0


class Patience:
    """What is left of a call's time for programs, from now on."""

    def __init__(self, seconds: float | None = None) -> None:
        self._end = time.monotonic() + (CALL if seconds is None else seconds)

    def left(self) -> float:
        """Seconds that the next program may take, at least LEAST."""
        return max(LEAST, self._end - time.monotonic())


def flock(descriptor: int, path: str) -> None:
    """Lock an open file exclusively.

    Raises TryAgain, which names `path`, if somebody else holds it for LOCK seconds, OSError.
    """
    acquire_within(
        path,
        lambda: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB),
        lambda: fcntl.flock(descriptor, fcntl.LOCK_EX),
    )


def acquire_within(path: str, attempt: Callable[[], object], wait: Callable[[], object]) -> None:
    """Take a lock: `attempt` raises BlockingIOError if it is held, `wait` returns once it is taken.

    Raises as `flock`. A system call that waits for a lock knows no time limit, so it is made in a thread,
    which is left behind if it takes too long: once the file is closed here, the lock that it gets at last is
    given up by the kernel at once, with the last reference to the open file.
    """
    with suppress(BlockingIOError):
        attempt()
        return
    if not _done_within(LOCK, wait):
        raise TryAgain(
            f"{path} was locked by another process for {LOCK:.0f} s",
            f"`fuser -v {path}` lists who has it open; end the one that hangs and repeat the call",
        )


def _done_within(seconds: float, act: Callable[[], object]) -> bool:
    import threading

    failures: list[OSError] = []
    done = threading.Event()

    def run() -> None:
        try:
            act()
        except OSError as error:
            failures.append(error)
        done.set()

    threading.Thread(target=run, daemon=True).start()
    in_time = done.wait(seconds)
    if failures:
        raise failures[0]
    return in_time
