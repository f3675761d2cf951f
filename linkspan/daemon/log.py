"""The log of a long-lived process: its standard error, which is a file."""

from __future__ import annotations

import os
import time
from contextlib import suppress

#: The most that a log may hold, in bytes. A full one starts over.
LIMIT = 1 << 20


def say(message: str) -> None:
    """Write one line, with date and time."""
    with suppress(OSError):
        if os.fstat(2).st_size > LIMIT:
            os.ftruncate(2, 0)
    with suppress(OSError):
        os.write(2, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n".encode())


def redirect(path: str) -> None:
    """Send standard output and standard error to the end of a file of root's own. Raises OSError."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    if descriptor > 2:
        os.close(descriptor)
