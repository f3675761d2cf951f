"""Noticing that a service's files were removed or replaced, as by `rm -rf /run/linkspan`.

Nobody reaches a service whose socket is gone, and another would be started beside it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress

from linkspan.daemon.log import say
from linkspan.daemon.loop import READ, Descriptor, Loop
from linkspan.daemon.service import Service

#: Seconds between two looks, where inotify(7) is not to be had.
INTERVAL = 1.0
#: Seconds in which whoever removes one file removes the others.
_SETTLE = 0.02
_IN_NONBLOCK, _IN_CLOEXEC = 0o4000, 0o2000000  # sys/inotify.h
_IN_ATTRIB, _IN_DELETE_SELF, _IN_MOVE_SELF = 0x4, 0x400, 0x800


class Presence:
    """Has a service come back if its files are removed.

    `in_place` tells whether its socket is where it was made, `reopen` makes it again, and `replaced` is
    called if another process has become the service.
    """

    def __init__(
        self,
        loop: Loop,
        service: Service,
        in_place: Callable[[], bool],
        reopen: Callable[[], object],
        replaced: Callable[[], object],
    ) -> None:
        self._loop, self._service = loop, service
        self._in_place, self._reopen, self._replaced = in_place, reopen, replaced
        self._inotify: Descriptor | None = None
        self._ended = False
        self._watch()
        loop.every(INTERVAL, self._check)

    def end(self) -> None:
        """The service goes: its files may go too."""
        self._ended = True
        self._forget()

    def _watch(self) -> None:
        """Be told when the socket's file is unlinked, moved or replaced."""
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)
        if descriptor < 0:
            return
        events = _IN_ATTRIB | _IN_DELETE_SELF | _IN_MOVE_SELF
        libc.inotify_add_watch(descriptor, self._service.socket.encode(), events)
        self._inotify = Descriptor(descriptor)
        self._loop.watch(self._inotify, READ, self._changed)

    def _changed(self) -> None:
        if self._inotify is not None:
            with suppress(BlockingIOError):
                os.read(self._inotify.fileno(), 1 << 12)
        self._loop.later(_SETTLE, self._check)

    def _check(self) -> None:
        if self._ended or self._in_place():
            return
        self._forget()
        if self._service.renew():
            say(f"the files of {self._service.title} were removed; they are made again")
            self._reopen()
            self._watch()
        else:
            self._ended = True
            self._replaced()

    def _forget(self) -> None:
        if self._inotify is not None:
            self._loop.close(self._inotify)
            self._inotify = None
