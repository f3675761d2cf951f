"""Starting the resident of this network namespace from outside, and asking who it is."""

from __future__ import annotations

import time

from linkspan.cni.errors import IoFailure
from linkspan.daemon.control import connect, peer_of
from linkspan.daemon.services import RESIDENT

#: Seconds until a resident that was started must greet, and that one which runs may take to.
_START, _GREETING = 10.0, 1.0
_INTERVAL = 0.01


def start_and_wait() -> None:
    """Start the resident unless it runs, and return once it greets.

    Raises IoFailure when it does not, OSError.
    """
    if peer() is None:
        RESIDENT.start()
    deadline = time.monotonic() + _START
    while peer() is None:
        if time.monotonic() > deadline:
            raise IoFailure("the resident does not start", f"see {RESIDENT.log}")
        time.sleep(_INTERVAL)


def peer() -> tuple[int, str] | None:
    """Process id and greeting of the resident; None if nobody listens.

    The greeting is "" if it is stopped.
    """
    resident = connect(RESIDENT.socket, _GREETING)
    if resident is None:
        return None
    with resident:
        try:
            pid = peer_of(resident).pid
        except OSError:
            return None
        try:
            return pid, resident.recv(512).decode().strip()
        except OSError:
            return pid, ""
