"""Other programs: finding and running them."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence

from linkspan.cni.errors import IoFailure, ToolMissing
from linkspan.host.contract import Finished
from linkspan.host.linux.executables import type_of_executable

_BUSY_TRIES = 6
_PR_SET_NAME = 15  # linux/prctl.h


class LinuxProcesses:
    """The contract's Processes. `inherited` are descriptors that programs keep (attachment locks); `stderr` is the caller's."""

    def __init__(self, inherited: Sequence[int] = (), stderr: int = 2) -> None:
        self._inherited = inherited
        self._stderr = stderr

    def find(self, name: str, folders: Sequence[str]) -> str | None:
        """See contract.Processes."""
        return next((path for path in (f"{each}/{name}" for each in folders) if _is_file(path)), None)

    def own_type(self, path: str) -> str:
        """See contract.Processes."""
        return type_of_executable(path)

    def run(
        self, argv: Sequence[str], *, stdin: bytes, env: Mapping[str, str], cwd: str, merged: bool = False
    ) -> Finished:
        """See contract.Processes."""
        for attempt in range(1, _BUSY_TRIES + 1):
            try:
                done = subprocess.run(
                    argv,
                    input=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT if merged else self._stderr,
                    env=dict(env),
                    cwd=cwd if os.path.isdir(cwd) else "/",
                    pass_fds=tuple(self._inherited),
                    check=False,
                )
            except OSError as error:
                if error.errno != errno.ETXTBSY or attempt == _BUSY_TRIES:
                    raise _refused(argv[0], error) from error
                time.sleep(0.2 * attempt)
            else:
                return Finished(done.returncode, done.stdout)
        raise IoFailure(f"cannot run {argv[0]}: it stays busy")


def name_this_process(name: str) -> None:
    """What ps and top show of this process: at most 15 bytes (prctl(2), PR_SET_NAME)."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):  # ValueError: no file can have that name
        return False


def _refused(program: str, error: OSError) -> IoFailure | ToolMissing:
    if error.errno == errno.ENOENT:
        return ToolMissing(f"{program} is not on this host")
    return IoFailure(f"cannot run {program}: {error.strerror}")
