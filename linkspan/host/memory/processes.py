"""The contract's Processes in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from linkspan.cni.errors import IoFailure, ToolMissing
from linkspan.host.contract import Finished, Process


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a program: what it was given."""

    argv: tuple[str, ...]
    stdin: bytes
    env: Mapping[str, str]
    cwd: str


class MemoryProcesses:
    """`programs` are the executables of the host, path -> what answers for it; `ran` has every run, in order.

    `own` are those of this installation, path -> CNI type. `sockets` has the processes that have a socket
    open, by its inode.
    """

    def __init__(self) -> None:
        self.programs: dict[str, Callable[[Run], Finished]] = {}
        self.own: dict[str, str] = {}
        self.ran: list[Run] = []
        self.sockets: dict[int, tuple[Process, ...]] = {}

    def with_sockets(
        self, inodes: Collection[int], pids: Collection[int] | None = None
    ) -> Mapping[int, tuple[Process, ...]]:
        """See contract.Processes."""
        asked = {
            inode: tuple(each for each in self.sockets.get(inode, ()) if pids is None or each.pid in pids)
            for inode in inodes
        }
        return {inode: found for inode, found in asked.items() if found}

    def find(self, name: str, folders: Sequence[str]) -> str | None:
        """See contract.Processes."""
        paths = (f"{each}/{name}" for each in folders)
        return next((path for path in paths if path in self.own or path in self.programs), None)

    def own_type(self, path: str) -> str:
        """See contract.Processes."""
        return self.own.get(path, "")

    def run(
        self, argv: Sequence[str], *, stdin: bytes, env: Mapping[str, str], cwd: str, merged: bool = False
    ) -> Finished:
        """See contract.Processes."""
        del merged
        if argv[0] not in self.programs:
            raise ToolMissing(f"{argv[0]} is not installed on this host")
        if any("\0" in each or not _is_encodable(each) for each in argv):
            raise IoFailure(f"cannot run {argv[0]}: an argument that no program can be given")
        run = Run(tuple(argv), stdin, dict(env), cwd)
        self.ran.append(run)
        return self.programs[argv[0]](run)


def _is_encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True
