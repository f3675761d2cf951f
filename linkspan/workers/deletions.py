"""DELs that wait for their containers: each is made as a call again when its container has ended."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from linkspan import paths
from linkspan.call.deferral import Deferred, all_kept
from linkspan.cni.errors import IoFailure
from linkspan.daemon.loop import READ, Loop
from linkspan.host.linux.files import LinuxFiles
from linkspan.launch import protocol

#: Seconds between looks at the links of containers whose DEL waits.
INTERVAL = 2.0
#: Seconds until one is made again although its link is there, as a descriptor may keep a namespace.
PATIENCE = 60.0
_STDERR = 2


class Deletions:
    """`enqueue` gets the connections on which such calls wait to be served, as launchers' do.

    One call at a time is made, and one is enough: whoever serves it carries out all that are due.
    """

    def __init__(self, loop: Loop, enqueue: Callable[[socket.socket], None]) -> None:
        self._loop, self._enqueue = loop, enqueue
        self._state = paths.state_dir()
        self._files = LinuxFiles(self._state)
        self._connection: socket.socket | None = None
        self._last = time.monotonic()

    def watch(self) -> None:
        """Begin to look."""
        self._loop.every(INTERVAL, self._look)

    def any_kept(self) -> bool:
        """Whether a DEL waits."""
        with suppress(IoFailure):
            return bool(self._files.names(paths.deferred(self._state)))
        return False

    def _look(self) -> None:
        if self._connection is not None or not self.any_kept():
            return
        kept = [each for each in all_kept(self._files, self._state) if each.may_be_tried(time.time())]
        over = [each for each in kept if not _is_there(each.attachment.host_veth)]
        overdue = time.monotonic() - self._last > PATIENCE
        for each in (over or (kept if overdue else []))[:1]:
            self._make(each)

    def _make(self, kept: Deferred) -> None:
        """Make a call as a launcher does, and close it when it is answered."""
        self._last = time.monotonic()
        environ = {os.fsencode(name): os.fsencode(value) for name, value in kept.env.items()}
        frame = protocol.call_frame(
            kept.plugin, os.fsencode(kept.cwd), environ, kept.stdin, [protocol.STDERR]
        )
        ours, its = socket.socketpair()
        ours.setblocking(False)
        with suppress(OSError):  # what does not fit is not a call, and the worker gives it up
            socket.send_fds(ours, [frame], [_STDERR])
        self._connection = ours
        self._loop.watch(ours, READ, self._answered)
        self._enqueue(its)

    def _answered(self) -> None:
        if self._connection is not None:
            self._loop.close(self._connection)
            self._connection = None


def _is_there(link: str) -> bool:
    try:
        socket.if_nametoindex(link)
    except OSError:
        return False
    return True
