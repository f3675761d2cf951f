"""Who keeps a network namespace.

It lives as long as a process is in it or a mount shows it, and every interface in it lives as long
(network_namespaces(7)). What cannot be read belongs to a process that has ended, or that hides.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator

#: Errors that say nothing about what is there: we lack descriptors or memory.
UNKNOWN = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
#: A process, and a path that may be the namespace.
Candidate = tuple[int, str]


def candidates(
    inode: int, proc: str = "/proc", *, passes_over: Callable[[int], bool] = lambda _: False
) -> Iterator[Candidate]:
    """Where the namespace of an inode may be: first where it is likely to stay.

    The mounts of a process that is passed over do not count. `proc` is where /proc is mounted. Raises
    OSError.
    """
    yield from _mounted(proc, 1, inode)
    pids = [int(name) for name in os.listdir(proc) if name.isdigit()]
    yield from ((pid, f"{proc}/{pid}/ns/net") for pid in pids)
    seen: set[str] = set()
    for pid in pids:
        mounts = _mounts_namespace(proc, pid)
        if mounts not in seen and not passes_over(pid):
            seen.add(mounts)
            yield from _mounted(proc, pid, inode)


def read(proc: str, pid: int, name: str) -> str:
    """A file of a process; "" if the process has ended, or hides. Raises OSError if that cannot be told."""
    try:
        with open(f"{proc}/{pid}/{name}", encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError as error:
        if error.errno in UNKNOWN:
            raise
        return ""


def _mounted(proc: str, pid: int, inode: int) -> Iterator[Candidate]:
    """Where a process sees the namespace mounted, as by ip-netns(8) (proc(5): PID/mountinfo)."""
    root = f"net:[{inode}]"
    mountinfo = read(proc, pid, "mountinfo")
    for line in mountinfo.splitlines() if root in mountinfo else ():
        fields = line.split(" ")
        if fields[3] == root:
            path = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
            yield pid, f"{proc}/{pid}/root{path}"


def _mounts_namespace(proc: str, pid: int) -> str:
    try:
        return os.readlink(f"{proc}/{pid}/ns/mnt")
    except OSError:
        return ""
