"""Processes of this machine, read from /proc; a process that ends meanwhile has nothing to read."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def pids() -> list[int]:
    """Return the pid of every process, zombies included."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def children() -> dict[int, list[int]]:
    """Return parent pid -> pids of its children; zombies are nobody's child and have none."""
    found: dict[int, list[int]] = {}
    for pid in pids():
        fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        if len(fields) > 1 and fields[0] != "Z":
            found.setdefault(int(fields[1]), []).append(pid)
    return found


def with_descendants(roots: Iterable[int]) -> set[int]:
    """Return the pids and those of their children, grandchildren and so on."""
    found, below = set(roots), children()
    waiting = list(found)
    while waiting:
        more = [pid for pid in below.get(waiting.pop(), ()) if pid not in found]
        found.update(more)
        waiting += more
    return found


def command_of(pid: int) -> str:
    """Return a process's arguments joined by spaces; "" for a kernel thread or a process that is gone."""
    return _read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()


def namespaces_of(pid: int) -> set[str]:
    """Return for example `net:[4026531840]` for each kind; empty for a process that is gone or not ours."""
    found = set()
    for kind in ("net", "mnt", "uts", "ipc"):
        try:
            found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
        except OSError:
            continue
    return found


def end_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends in any way; see prctl(2)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def kill(victims: Iterable[int]) -> None:
    """Send SIGKILL to each that still exists."""
    for pid in victims:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
