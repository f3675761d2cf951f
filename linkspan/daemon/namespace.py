"""Noticing that only our own processes still keep our network namespace.

A process of ours that stayed would be the only reason for the namespace to live on, with every interface in
it (see `host.linux.holders`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from linkspan.daemon.loop import Loop
from linkspan.daemon.service import TITLE
from linkspan.host.linux.holders import candidates, read

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
        for keeper in candidates(self._own.st_ino, self._proc, passes_over=self._is_ours):
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
        return re.match(rf"{TITLE}( |$)", read(self._proc, pid, "comm").rstrip("\n")) is not None


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
