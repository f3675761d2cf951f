"""Control groups that container runtimes make and leave: namespaces of a test do not hide them."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable
from contextlib import suppress

_TOP = "/sys/fs/cgroup"
#: Seconds that the processes of removed containers may take to end.
_ENDING = 3.0


def below(name: str = "") -> set[str]:
    """Return the paths of the control group `name` and of every group in it, in each hierarchy."""
    return {
        directory
        for hierarchy in _hierarchies()
        for directory, _, _ in os.walk(os.path.join(hierarchy, name).rstrip("/"))
    }


def is_empty(path: str) -> bool:
    """Whether a control group exists and no process is in it."""
    processes = ""
    with suppress(OSError), open(f"{path}/cgroup.procs", encoding="ascii") as file:
        processes = file.read().strip()
    return os.path.isdir(path) and not processes


def remove(paths: Iterable[str]) -> None:
    """Remove control groups, the innermost first; one that is absent, or stays in use, stays as it is."""
    deadline = time.monotonic() + _ENDING
    for path in sorted(paths, key=len, reverse=True):
        while not _is_removed(path) and time.monotonic() < deadline:
            time.sleep(0.02)


def _is_removed(path: str) -> bool:
    """Remove a control group; False while a process in it, which was killed, has not ended."""
    try:
        os.rmdir(path)
    except OSError as error:
        return error.errno != errno.EBUSY
    return True


def remove_named(name: str) -> None:
    """Remove the control group of that name in each hierarchy."""
    remove(os.path.join(hierarchy, name) for hierarchy in _hierarchies())


def _hierarchies() -> list[str]:
    """The one of cgroup v2, and each of v1 where those are mounted below it; cgroups(7)."""
    return [_TOP, *(os.path.join(_TOP, name) for name in sorted(os.listdir(_TOP)))]
