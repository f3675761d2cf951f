"""Noticing that only our own processes still keep our network namespace.

A network namespace lives as long as a process is in it or a mount shows it, and every interface in it lives
as long (network_namespaces(7)). A process of ours that stayed would be the only reason for all of that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

from linkspan.daemon.loop import Loop
from linkspan.daemon.service import TITLE

#: Seconds between two checks. Two in a row must agree, because a process may escape one by forking.
INTERVAL = 1.0


class Namespace:
    """Our network namespace, and who keeps it. `proc` is where /proc is mounted.

    Asking again is cheap: it begins with whoever kept the namespace the last time, and on an ordinary host
    that is PID 1.
    """

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._own = os.stat(f"{proc}/self/ns/net")
        self._keeper = (1, f"{proc}/1/ns/net")

    def is_kept(self) -> bool:
        """Whether PID 1 is in it, or a process that is not ours is in it or sees a mount of it."""
        if self._is_own(f"{self._proc}/1/ns/net") or self._keeps(*self._keeper):
            return True
        for keeper in self._candidates():
            if self._keeps(*keeper):
                self._keeper = keeper
                return True
        return False

    def _keeps(self, pid: int, path: str) -> bool:
        return self._is_own(path) and not self._is_ours(pid)

    def _is_own(self, path: str) -> bool:
        try:
            return os.path.samestat(os.stat(path), self._own)
        except OSError:
            return False

    def _is_ours(self, pid: int) -> bool:
        """Whether a process is a service of linkspan, or one that such a service has forked."""
        return re.match(rf"{TITLE}( |$)", self._read(pid, "comm").rstrip("\n")) is not None

    def _candidates(self) -> Iterator[tuple[int, str]]:
        """(process, path that may be our namespace): first those that are likely to stay."""
        yield from self._mounted(1)
        pids = [int(name) for name in os.listdir(self._proc) if name.isdigit()]
        yield from ((pid, f"{self._proc}/{pid}/ns/net") for pid in pids)
        seen: set[str] = set()
        for pid in pids:
            mounts = self._mounts_namespace(pid)
            if mounts not in seen and not self._is_ours(pid):
                seen.add(mounts)
                yield from self._mounted(pid)

    def _mounted(self, pid: int) -> Iterator[tuple[int, str]]:
        """Where a process sees our namespace mounted, as by ip-netns(8) (proc(5): PID/mountinfo)."""
        root = f"net:[{self._own.st_ino}]"
        for line in self._read(pid, "mountinfo").splitlines():
            fields = line.split(" ")
            if fields[3] == root:
                path = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
                yield pid, f"{self._proc}/{pid}/root{path}"

    def _mounts_namespace(self, pid: int) -> str:
        try:
            return os.readlink(f"{self._proc}/{pid}/ns/mnt")
        except OSError:
            return ""

    def _read(self, pid: int, name: str) -> str:
        try:
            with open(f"{self._proc}/{pid}/{name}", encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        except OSError:
            return ""


def watch(loop: Loop, abandoned: Callable[[], None], namespace: Namespace | None = None) -> None:
    """Call `abandoned` once nobody else has kept our network namespace for two checks in a row."""
    seen = namespace or Namespace()
    before = True

    def check() -> None:
        nonlocal before
        kept = seen.is_kept()
        if not kept and not before:
            abandoned()
        before = kept

    loop.every(INTERVAL, check)
