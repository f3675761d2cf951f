"""Other programs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that has ended: its exit status and what it wrote to stdout."""

    status: int
    stdout: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that runs: its id, its real user's id, what it calls itself (proc(5), comm), its command
    line.
    """

    pid: int
    uid: int
    name: str
    arguments: tuple[str, ...]


class Processes(Protocol):
    """Programs of this host."""

    def with_sockets(
        self, inodes: Collection[int], pids: Collection[int] | None = None
    ) -> Mapping[int, tuple[Process, ...]]:
        """The processes that have sockets open, by the inodes of these; an inode without any is absent.

        Those of other users are found by root only. `pids` are the processes to look at; without them it is
        all of them, which takes 10 µs for each open file of the host.
        """

    def find(self, name: str, folders: Sequence[str]) -> str | None:
        """The first regular file of that name in the folders, in order; symbolic links are followed.

        Raises IoFailure if it is in none of them and one of them cannot be read.
        """

    def own_type(self, path: str) -> str:
        """The CNI type of an executable of this very installation, "" for any other program."""

    def run(
        self, argv: Sequence[str], *, stdin: bytes, env: Mapping[str, str], cwd: str, merged: bool = False
    ) -> Finished:
        """Run a program to its end, in folder `cwd`, or in / if that does not exist.

        Its stderr is the caller's, or with `merged` a part of its stdout. An executable that is still being
        written (ETXTBSY) is tried again. One that does not end within the call's patience is killed, with
        the programs that it started. Raises ToolMissing if there is no such program, TryAgain for one that
        was killed, IoFailure.
        """
