"""Noticing that another build of linkspan was installed, and becoming it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable
from typing import NoReturn

from linkspan.launch.interpreter import program_argv
from linkspan.launch.protocol import build

#: The variable that lists the descriptors of inherited sockets, separated by commas.
_INHERITED = "LINKSPAN_SOCKETS"


def installed_build() -> str:
    """The build on disk (linkspan.launch.protocol.build); "" during an upgrade or after an uninstallation."""
    try:
        return build()
    except OSError:
        return ""


def become_installed(program: str, keep: Iterable[socket.socket] = ()) -> NoReturn:
    """Turn this process into a Python file of ours as it is on disk now.

    It gets the sockets in `keep` by `inherited`. Other descriptors are closed, locks among them.
    """
    kept = tuple(keep)
    for sock in kept:
        sock.set_inheritable(True)
    numbers = ",".join(str(sock.fileno()) for sock in kept)
    os.execve(sys.executable, program_argv(program), {**os.environ, _INHERITED: numbers})


def inherited() -> tuple[socket.socket, ...]:
    """The sockets that the build before this one kept for it; a second call returns none."""
    numbers = os.environ.pop(_INHERITED, "")
    sockets = tuple(socket.socket(fileno=int(each)) for each in numbers.split(",") if each)
    for sock in sockets:
        sock.set_inheritable(False)
    return sockets
