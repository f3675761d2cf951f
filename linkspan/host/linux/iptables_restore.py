"""iptables of the nft variant: the table read once and changed once, by the host's own iptables-save and iptables-restore.

The two must be one under concurrency. Between ourselves a lock sees to it (two that append a missing jump would leave two jumps);
against a stranger, who does not take the lock, iptables-restore fails on what is no longer so, nothing is changed, and the
table is read again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from linkspan.errors import IoFailure, KernelRefused, ToolMissing
from linkspan.host.iptables_text import edits, parse_save, restore_script
from linkspan.host.linux.refusals import errno_in
from linkspan.rules import Change, Family

if TYPE_CHECKING:
    from linkspan.host.contract import Finished, Processes

LOCK = "/run/xtables.lock"
"""The file that iptables-legacy locks (XT_LOCK_NAME of iptables); the nft variant locks nothing, so we do."""

_TRIES = 12
_LOST_RACES = (errno.EEXIST, errno.ENOENT, errno.EBUSY, errno.EAGAIN, errno.EINTR)
_ENV = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL": "C"}
_MERGED = ("/bin/sh", "-c", 'exec "$@" 2>&1', "sh")
"""Messages of the tools belong into an error's details, not on the caller's stderr."""


class RestoreIptables:
    """The contract's Iptables by way of iptables-save and iptables-restore, two programs for a change."""

    def __init__(self, processes: Processes, folders: Sequence[str]) -> None:
        self._processes = processes
        self._folders = folders

    def usable(self, family: Family) -> bool:
        """Whether both programs are there."""
        names = (_program(family, "save"), _program(family, "restore"))
        return all(self._processes.find(name, self._folders) is not None for name in names)

    def rules(self, family: Family, table: str) -> Mapping[str, tuple[str, ...]]:
        """Every chain of the table with its rules as printed."""
        return read_table(self._processes, self._folders, family, table)

    def apply(self, family: Family, table: str, change: Change) -> None:
        """Carry out a change as one transaction. Raises KernelRefused, ToolMissing."""
        with xtables_lock():
            for attempt in range(_TRIES):
                script = self._script(family, table, change)
                refusal = self._restore(family, script) if script else None
                if refusal is None:
                    return
                if refusal.errno not in _LOST_RACES or attempt == _TRIES - 1:
                    raise refusal
                self._wait_unless_changed(attempt, script, self._script(family, table, change), refusal)

    def _script(self, family: Family, table: str, change: Change) -> str:
        to_do = planned(self.rules(family, table), change)
        return restore_script(table, to_do) if to_do else ""

    def _wait_unless_changed(self, attempt: int, before: str, now: str, refusal: KernelRefused) -> None:
        """Nothing changed means that it was no race: only the kernel's passing refusals are worth another try."""
        if before == now and refusal.errno in (errno.EEXIST, errno.ENOENT) and attempt > 1:
            raise refusal
        time.sleep(0.002 * attempt)

    def _restore(self, family: Family, script: str) -> KernelRefused | None:
        name = _program(family, "restore")
        finished = _run(self._processes, self._folders, [name, "--noflush"], script)
        if finished.status == 0:
            return None
        said = _words(finished)
        return KernelRefused("change its packet rules", errno_in(said), f"{name} said: {said}")


def planned(present: Mapping[str, tuple[str, ...]], change: Change) -> tuple[object, ...]:
    """The edits of a change; a rule that cannot be written is refused as the kernel would."""
    try:
        return edits(present, change)
    except ValueError as error:
        raise KernelRefused("change its packet rules", errno.EINVAL, str(error)) from None
