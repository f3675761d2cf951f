"""The host's programs iptables-save and iptables-restore, and the lock under which tables are changed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from linkspan.cni.addresses import Family
from linkspan.cni.errors import KernelRefused, ToolMissing
from linkspan.host.linux.errno_text import errno_in
from linkspan.host.linux.errors import file_errors
from linkspan.host.linux.patience import flock
from linkspan.netfilter.iptables_edits import Edit, edits
from linkspan.netfilter.iptables_text import Chains, parse_save
from linkspan.netfilter.rules import Change

if TYPE_CHECKING:
    from linkspan.host.contract import Finished, Processes

#: What a change asks of the kernel, for errors.
CHANGE = "change its packet rules"

_LOCK = "/run/xtables.lock"  # XT_LOCK_NAME of iptables
_ENV = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL": "C"}


class Tools:
    """The programs of both families, searched in `folders` in order."""

    def __init__(self, processes: Processes, folders: Sequence[str]) -> None:
        self._processes = processes
        self._folders = folders

    def find(self, family: Family, action: str) -> str | None:
        """The path of a program such as ip6tables-save, or None."""
        return self._processes.find(program_name(family, action), self._folders)

    def save(self, family: Family, tables: Sequence[str]) -> str:
        """What iptables-save prints of tables: one program for any number of them.

        Raises KernelRefused, ToolMissing.
        """
        finished = self._run(family, "save", ("-t", tables[0]) if len(tables) == 1 else ())
        printed = finished.stdout.decode(errors="replace")
        if finished.status != 0 or any(
            f"{each}' is incompatible, use 'nft' tool" in printed for each in tables
        ):
            raise _refused(f"show its packet rules ({', '.join(tables)})", family, "save", finished)
        return printed

    def read(self, family: Family, tables: Sequence[str]) -> dict[str, Chains]:
        """The chains of each of these tables. Raises KernelRefused, ToolMissing."""
        found = parse_save(self.save(family, tables))
        return {table: found.get(table, {}) for table in tables}

    def restore(self, family: Family, script: str) -> KernelRefused | None:
        """Carry out a script of iptables-restore in one transaction for each table; what the kernel refused.

        Raises ToolMissing.
        """
        finished = self._run(family, "restore", ("--noflush",), script)
        return _refused(CHANGE, family, "restore", finished) if finished.status else None

    def _run(self, family: Family, action: str, arguments: Sequence[str], stdin: str = "") -> Finished:
        program = self.find(family, action)
        if program is None:
            name = program_name(family, action)
            raise ToolMissing(f"{name} is not installed on this host", "install the package iptables")
        # The tools' messages belong in an error's details, not on the caller's stderr.
        return self._processes.run(
            [program, *arguments], stdin=stdin.encode(), env=_ENV, cwd="/", merged=True
        )


def program_name(family: Family, action: str = "") -> str:
    """For example ip6tables-save; iptables itself without an action."""
    name = "iptables" if family == 4 else "ip6tables"
    return f"{name}-{action}" if action else name


def planned(present: Chains, change: Change) -> tuple[Edit, ...]:
    """The edits of a change. Raises KernelRefused for a rule that cannot be written, as the kernel would."""
    try:
        return edits(present, change)
    except ValueError as error:
        raise KernelRefused(CHANGE, errno.EINVAL, str(error)) from None


@contextmanager
def xtables_lock() -> Iterator[None]:
    """Hold the lock of iptables-legacy, which our own changes take too: the nft variant locks nothing.

    Waits; the kernel releases the lock if we die. Raises IoFailure, TryAgain.
    """
    with file_errors("lock", _LOCK):
        descriptor = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with file_errors("lock", _LOCK):
            flock(descriptor, _LOCK)
        yield
    finally:
        os.close(descriptor)


def _refused(request: str, family: Family, action: str, finished: Finished) -> KernelRefused:
    printed = " ".join(finished.stdout.decode(errors="replace").split())
    details = f"{program_name(family, action)} ended with status {finished.status} and printed: {printed}"
    return KernelRefused(request, errno_in(printed), details)
