"""Being the only one: a lock on a file, which ends with the last process that has it open."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress

_INTERVAL = 0.01


def take_lock(path: str, *, patience: float = 0.0) -> int | None:
    """A descriptor that holds the lock of a file, or None if another process has it for `patience` seconds.

    Raises OSError.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
            time.sleep(_INTERVAL)
        else:
            return descriptor


def drop_lock(path: str) -> None:
    """Give up the lock of a file that this process holds, once those that it has forked do so too.

    Raises OSError.
    """
    lock = os.stat(path)
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.path.samestat(os.fstat(int(name)), lock):
                os.close(int(name))
