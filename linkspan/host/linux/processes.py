"""The contract's Processes: finding and running other programs."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from linkspan.cni.errors import IoFailure, ToolMissing, TryAgain
from linkspan.host.contract import Finished, Process
from linkspan.host.linux.errors import ABSENT, file_errors
from linkspan.host.linux.executables import type_of_executable
from linkspan.host.linux.patience import Patience

_BUSY_TRIES = 6
_PR_SET_NAME = 15  # linux/prctl.h
#: Makes a program the first of a process group, by which it is ended with what it started. It stays in our
#: session, by which a master ends what a lost worker has left (procfs.end_session).
_OWN_GROUP: dict[str, Any] = (
    {"process_group": 0} if sys.version_info >= (3, 11) else {"preexec_fn": os.setpgrp}
)


class LinuxProcesses:
    """Programs of this host.

    They inherit the descriptors `inherited` (attachment locks); `stderr` is the caller's, `patience` the
    call's.
    """

    def __init__(
        self, inherited: Sequence[int] = (), stderr: int = 2, patience: Patience | None = None
    ) -> None:
        self._inherited = inherited
        self._stderr = stderr
        self._patience = patience or Patience()

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
                return self._finished(argv, stdin, env, cwd, subprocess.STDOUT if merged else self._stderr)
            except FileNotFoundError as error:
                raise ToolMissing(f"{argv[0]} is not installed on this host") from error
            except ValueError:  # a NUL or a lone surrogate, both of which JSON can express
                raise IoFailure(f"cannot run {argv[0]}: an argument that no program can be given") from None
            except OSError as error:
                if error.errno != errno.ETXTBSY or tries == _BUSY_TRIES:
                    failed = f"cannot run {argv[0]}: {error.strerror}"
                    raise IoFailure(failed, errno=error.errno or 0) from error
            time.sleep(0.2 * tries)

    def _finished(
        self, argv: Sequence[str], stdin: bytes, env: Mapping[str, str], cwd: str, stderr: int
    ) -> Finished:
        """Raises TryAgain for a program that does not end in time, and ends it with all that it started."""
        program: subprocess.Popen[bytes]
        seconds = self._patience.left()
        with subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=dict(env),
            cwd=cwd if os.path.isdir(cwd) else "/",
            pass_fds=tuple(self._inherited),
            **_OWN_GROUP,
        ) as program:
            try:
                printed, _ = program.communicate(stdin, timeout=seconds)
            except subprocess.TimeoutExpired:
                _end_group(program.pid)
                raise TryAgain(
                    f"{os.path.basename(argv[0])} did not end within {seconds:.0f} s and was killed",
                    f"find out why {argv[0]} hangs, then repeat the call; after a failed ADD send DEL first",
                ) from None
            except BaseException:
                _end_group(program.pid)
                raise
        return Finished(program.returncode, printed)


def name_this_process(name: str) -> None:
    """Set what ps and top show of this process: at most 15 bytes (prctl(2), PR_SET_NAME)."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def _end_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _is_regular(path: str) -> bool:
    """Whether a path leads to a regular file. Raises IoFailure if that cannot be determined."""
    with file_errors("read", path, absent=(*ABSENT, errno.ELOOP)):
        try:
            return stat.S_ISREG(os.stat(path).st_mode)
        except ValueError:  # no file can have that name
            return False
    return False
