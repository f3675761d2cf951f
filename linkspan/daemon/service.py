"""A service: a process of ours, one for each network namespace, found by the names of its files."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass

from linkspan import paths
from linkspan.daemon import log, spawn
from linkspan.daemon.singleton import drop_lock, take_lock
from linkspan.host.linux.files import LinuxFiles
from linkspan.host.linux.processes import name_this_process
from linkspan.launch.interpreter import DETACH, program_argv, start

#: Begins the names of our long-lived processes, as ps and top show them.
TITLE = "linkspan"
#: Seconds to wait for the lock: a service that is just ending gives it up within them.
_ENDING = 0.5
#: Where the arguments begin that `program_argv` was given.
_OWN_ARGUMENTS = 3


@dataclass(frozen=True, slots=True)
class Service:
    """`name` is that of its files, `program` the Python file to run, `role` what ps shows after "linkspan".

    `systemd` tells whether systemd is to run it where systemd is PID 1. `records` are the folders of the
    records that it works for; none for a service that is not needed by any.
    """

    name: str
    program: str
    role: str = ""
    systemd: bool = False
    records: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What ps and top show."""
        return f"{TITLE} {self.role}".strip()

    @property
    def socket(self) -> str:
        """Where it is reached."""
        return paths.socket(paths.state_dir(), self.name)

    @property
    def log(self) -> str:
        """Where it writes what happens."""
        return paths.log(paths.state_dir(), self.name)

    def is_needed(self) -> bool:
        """Whether there is a record that it works for. Raises IoFailure."""
        state = paths.state_dir()
        files = LinuxFiles(state)
        return any(files.names(paths.records(state, each)) for each in self.records)

    def start(self) -> None:
        """Start it, unless it runs or is being started.

        Does not wait until it can be reached. Raises IoFailure, OSError.
        """
        _make_state_dir()
        start(self.program, self.log)

    def begin(self) -> bool:
        """In the started process: become the service.

        False if there is one, or if systemd has started it. Raises IoFailure, OSError.

        The lock that makes it the only one is held until the last process that this one forks has ended.
        """
        detaches = DETACH in sys.argv
        if detaches:
            spawn.detach()
        _make_state_dir()
        lock = self._take_lock()
        if lock is not None and detaches and self.systemd and spawn.systemd_is_init():
            os.close(lock)  # for the process that systemd starts
            lock = None if self._started_by_systemd() else self._take_lock()
        if lock is None:
            return False
        if detaches:
            log.redirect(self.log)
        os.chdir("/")
        os.umask(0o077)
        name_this_process(self.title)
        return True

    def renew(self) -> bool:
        """Be the service in a state directory that was removed; False if another process is. Raises
        OSError.
        """
        _make_state_dir()
        with suppress(FileNotFoundError):
            self.resign()
        if self._take_lock() is None:
            return False
        if stat.S_ISREG(os.fstat(2).st_mode):  # a log that nobody finds any more
            log.redirect(self.log)
        return True

    def resign(self) -> None:
        """Let another process be the service, while this one finishes what it has begun. Raises OSError."""
        drop_lock(paths.only_one(paths.state_dir(), self.name))

    def _take_lock(self) -> int | None:
        return take_lock(paths.only_one(paths.state_dir(), self.name), patience=_ENDING)

    def _started_by_systemd(self) -> bool:
        unit = f"linkspan-{self.name}-{paths.netns_cookie()}"
        arguments = [each for each in sys.argv[_OWN_ARGUMENTS:] if each != DETACH]
        return spawn.started_by_systemd(unit, program_argv(self.program, *arguments), self.log)


def _make_state_dir() -> None:
    state = paths.state_dir()
    LinuxFiles(state).make_folder(state)
