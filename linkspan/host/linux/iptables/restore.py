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
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from linkspan.cni.errors import IoFailure, KernelRefused, ToolMissing
from linkspan.host.linux.errno_text import errno_in
from linkspan.host.linux.netlink.nft_lookup import Lookup
from linkspan.netfilter.iptables_text import Chains, Edit, edits, parse_save, restore_script
from linkspan.netfilter.rules import NFT_FAMILY, Change, Family

if TYPE_CHECKING:
    from linkspan.host.contract import Finished, Processes

LOCK = "/run/xtables.lock"
"""The file that iptables-legacy locks (XT_LOCK_NAME of iptables); the nft variant locks nothing, so we do."""

_TRIES = 12
_NO_RACE = 3
"""A change refused this often in a row, though the table read again asks for the same one, is refused for good."""

_LOST_RACES = (errno.EEXIST, errno.ENOENT, errno.EBUSY, errno.EAGAIN, errno.EINTR)
_ENV = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL": "C"}


class RestoreIptables:
    """The contract's Iptables by way of iptables-save and iptables-restore: two programs for a change."""

    def __init__(self, processes: Processes, folders: Sequence[str]) -> None:
        self._processes = processes
        self._folders = folders

    def usable(self, family: Family) -> bool:
        """Whether both programs are there."""
        names = (program_name(family, "save"), program_name(family, "restore"))
        return all(self._processes.find(name, self._folders) is not None for name in names)

    def readable(self, family: Family, table: str) -> bool:
        """Whether iptables-save shows the table, or calls it incompatible: it has chains or rules that only nft can make."""
        try:
            save(self._processes, self._folders, family, (table,))
        except KernelRefused:
            return False
        return True

    def rules(self, family: Family, table: str) -> Chains:
        """Every chain of the table with its rules as printed."""
        return read_tables(self._processes, self._folders, family, (table,))[table]

    def policy(self, family: Family, table: str, chain: str) -> str:
        """The policy of a built-in chain, asked of the kernel, which keeps this variant's tables as any nftables table."""
        with closing(Lookup()) as lookup:
            return "DROP" if lookup.drops(_nft_table(family, table), chain) else "ACCEPT"

    def apply(self, family: Family, table: str, change: Change) -> None:
        """Carry out a change as one transaction. Raises KernelRefused, ToolMissing."""
        self.apply_all(family, {table: change})

    def apply_all(self, family: Family, changes: Mapping[str, Change]) -> None:
        """Carry out the changes of several tables, a transaction each. Raises KernelRefused, ToolMissing."""
        tried: list[str] = []
        with xtables_lock():
            wanted = {table: each for table, each in changes.items() if not _is_done(family, table, each)}
            while wanted and (to_do := self._to_do(family, wanted)):
                tried.append(restore_script(to_do))
                refusal = self._restore(family, tried[-1])
                if refusal is None:
                    return
                if not _lost_a_race(refusal, tried):
                    raise refusal
                time.sleep(0.002 * len(tried))

    def _to_do(self, family: Family, changes: Mapping[str, Change]) -> dict[str, tuple[Edit, ...]]:
        present = read_tables(self._processes, self._folders, family, tuple(changes))
        found = {table: planned(present[table], change) for table, change in changes.items()}
        return {table: wanted for table, wanted in found.items() if wanted}

    def _restore(self, family: Family, script: str) -> KernelRefused | None:
        name = program_name(family, "restore")
        finished = _run(self._processes, self._folders, name, ("--noflush",), stdin=script)
        if finished.status == 0:
            return None
        return _refused("change its packet rules", name, finished)


def _nft_table(family: Family, table: str) -> str:
    """What nft calls a table of this variant's."""
    return f"{NFT_FAMILY[family]} {table}"


def _is_done(family: Family, table: str, change: Change) -> bool:
    """Whether a change removes from absent chains only: it needs no program, and does not mind a table that iptables cannot read."""
    if not change.only_removes:
        return False
    chains = dict.fromkeys((*change.remove_chains, *(chain for chain, _ in change.remove)))
    with closing(Lookup()) as lookup:
        return not any(lookup.has_chain(_nft_table(family, table), each) for each in chains)


def _lost_a_race(refusal: KernelRefused, tried: Sequence[str]) -> bool:
    same = tried[-_NO_RACE:].count(tried[-1])
    return refusal.errno in _LOST_RACES and len(tried) < _TRIES and same < _NO_RACE


def planned(present: Chains, change: Change) -> tuple[Edit, ...]:
    """The edits of a change; a rule that cannot be written is refused as the kernel would refuse it."""
    try:
        return edits(present, change)
    except ValueError as error:
        raise KernelRefused("change its packet rules", errno.EINVAL, str(error)) from None


def read_tables(
    processes: Processes, folders: Sequence[str], family: Family, tables: Sequence[str]
) -> dict[str, Chains]:
    """The chains of each of these tables, as the host's iptables-save prints them. Raises KernelRefused, ToolMissing."""
    found = parse_save(save(processes, folders, family, tables))
    return {table: found.get(table, {}) for table in tables}


def save(processes: Processes, folders: Sequence[str], family: Family, tables: Sequence[str]) -> str:
    """What the host's iptables-save prints of tables: one program for any number of them. Raises KernelRefused, ToolMissing."""
    name = program_name(family, "save")
    finished = _run(processes, folders, name, ("-t", tables[0]) if len(tables) == 1 else ())
    said = finished.stdout.decode(errors="replace")
    if finished.status != 0 or any(f"{each}' is incompatible, use 'nft' tool" in said for each in tables):
        raise _refused(f"show its packet rules ({', '.join(tables)})", name, finished)
    return said


def program_name(family: Family, action: str) -> str:
    """For example ip6tables-save."""
    return f"{'iptables' if family == 4 else 'ip6tables'}-{action}"


@contextmanager
def xtables_lock() -> Iterator[None]:
    """Hold the lock that iptables-legacy and every change of ours take. Waits; the kernel frees it if we die."""
    try:
        held = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise IoFailure(
            f"cannot open {LOCK}: {error.strerror}", "iptables needs this file as its lock"
        ) from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _run(
    processes: Processes, folders: Sequence[str], name: str, arguments: Sequence[str], stdin: str = ""
) -> Finished:
    program = processes.find(name, folders)
    if program is None:
        raise ToolMissing(f"{name} is not installed on this host", "install the package iptables")
    # The tools' messages belong into an error's details, not on the caller's stderr.
    return processes.run([program, *arguments], stdin=stdin.encode(), env=_ENV, cwd="/", merged=True)


def _refused(request: str, name: str, finished: Finished) -> KernelRefused:
    said = " ".join(finished.stdout.decode(errors="replace").split())
    return KernelRefused(
        request, errno_in(said), f"{name} ended with status {finished.status} and said: {said}"
    )
