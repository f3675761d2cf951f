"""The contract's Processes: finding and running other programs."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence

from linkspan.cni.errors import IoFailure, ToolMissing
from linkspan.host.contract import Finished, Process
from linkspan.host.linux.errors import ABSENT, file_errors
from linkspan.host.linux.executables import type_of_executable

_BUSY_TRIES = 6
_PR_SET_NAME = 15  # linux/prctl.h


class LinuxProcesses:
    """Programs of this host.

    They inherit the descriptors `inherited` (attachment locks); `stderr` is the caller's.
    """

    def __init__(self, inherited: Sequence[int] = (), stderr: int = 2) -> None:
        self._inherited = inherited
        self._stderr = stderr

    def with_sockets(
        self, inodes: Collection[int], pids: Collection[int] | None = None
    ) -> Mapping[int, tuple[Process, ...]]:
        """See contract.Processes."""
        from linkspan.host.linux.procfs import processes_with_sockets

        return processes_with_sockets(inodes, pids)

    def find(self, name: str, folders: Sequence[str]) -> str | None:
        """See contract.Processes."""
        unreadable: IoFailure | None = None
        for path in (f"{each}/{name}" for each in folders):
            try:
                if _is_regular(path):
                    return path
            except IoFailure as failure:
                unreadable = unreadable or failure
        if unreadable is not None:
            raise unreadable
        return None

    def own_type(self, path: str) -> str:
        """See contract.Processes."""
        return type_of_executable(path)

    def run(
        self, argv: Sequence[str], *, stdin: bytes, env: Mapping[str, str], cwd: str, merged: bool = False
    ) -> Finished:
        """See contract.Processes."""
        tries = 0
        while True:
            tries += 1
            try:
                finished = subprocess.run(
                    argv,
                    input=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT if merged else self._stderr,
                    env=dict(env),
                    cwd=cwd if os.path.isdir(cwd) else "/",
                    pass_fds=tuple(self._inherited),
                    check=False,
                )
                return Finished(finished.returncode, finished.stdout)
            except FileNotFoundError as error:
                raise ToolMissing(f"{argv[0]} is not installed on this host") from error
            except ValueError:  # a NUL or a lone surrogate, both of which JSON can express
                raise IoFailure(f"cannot run {argv[0]}: an argument that no program can be given") from None
            except OSError as error:
                if error.errno != errno.ETXTBSY or tries == _BUSY_TRIES:
                    failed = f"cannot run {argv[0]}: {error.strerror}"
                    raise IoFailure(failed, errno=error.errno or 0) from error
            time.sleep(0.2 * tries)


def name_this_process(name: str) -> None:
    """Set what ps and top show of this process: at most 15 bytes (prctl(2), PR_SET_NAME)."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def _is_regular(path: str) -> bool:
    """Whether a path leads to a regular file. Raises IoFailure if that cannot be determined."""
    with file_errors("read", path, absent=(*ABSENT, errno.ELOOP)):
        try:
            return stat.S_ISREG(os.stat(path).st_mode)
        except ValueError:  # no file can have that name
            return False
    return False
