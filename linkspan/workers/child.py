"""A process that the supervisor forks for one task. It reports over a socket and ends."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

from linkspan.daemon.log import say
from linkspan.daemon.service import TITLE
from linkspan.host.linux.processes import name_this_process


def fork_for(name: str, task: Callable[[socket.socket], object]) -> tuple[int, socket.socket]:
    """Run a task in a new process of that name; its process id, and our end of its socket. Raises OSError."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    pid = os.fork()
    if pid == 0:
        try:
            leave_parent(its)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            name_this_process(f"{TITLE} {name}")
            task(its)
        except BaseException as error:  # the last place where it can be seen
            say(f"{task!r} in process {os.getpid()} failed: {error!r}")
        finally:
            os._exit(0)
    its.close()
    ours.setblocking(False)
    return pid, ours


def leave_parent(channel: socket.socket) -> None:
    """In a forked process: drop what is the parent's, except the channel, and be a group of its own."""
    signal.set_wakeup_fd(-1)
    with suppress(PermissionError):
        os.setsid()  # what hangs can be killed with all that it started
    os.closerange(3, channel.fileno())
    os.closerange(channel.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
