"""Which listening sockets of the host belong to somebody else than the container that is to get their port.

Runtimes and we ourselves hold published ports for a container, so that nobody else takes them. Such a socket
is recognized by the processes that have it open: one of them that is known is enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from linkspan import paths
from linkspan.steps.containers import of_nerdctl

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host, Listener, Process

#: Our processes that listen on ports of this host.
_OURS = (paths.PORTS, paths.NAME_SERVER)
#: The file in which nerdctl notes the process that holds a container's ports (pkg/ocihook).
_NERDCTL_RESERVER = "/run/nerdctl/{}/{}/port-reserver.pid"
_PID = re.compile(rb"[1-9][0-9]{0,9}")
_UNKNOWN = "another program"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupant:
    """Somebody else's listening socket. `process` is such as "nginx (pid 123)"."""

    listener: Listener
    process: str

    def __str__(self) -> str:
        address = self.listener.address
        shown = f"[{address}]" if ":" in address else address
        return f"{self.process}, which listens on {shown}:{self.listener.port}"


def occupants(host: Host, attachment: Attachment, listeners: Iterable[Listener]) -> tuple[Occupant, ...]:
    """Those of the listeners that are neither ours nor hold their port for the attachment's container.

    Processes are looked at only if there are listeners, and all of them only if some are not known. Raises
    IoFailure.
    """
    unknown = _without_known(host, attachment, tuple(listeners))
    processes = host.processes.with_sockets(_inodes(unknown)) if unknown else {}
    return tuple(
        Occupant(listener=each, process=_described(processes.get(each.inode, ())))
        for each in unknown
        if not any(_is_conmon_of(attachment, process) for process in processes.get(each.inode, ()))
    )


def _without_known(
    host: Host, attachment: Attachment, listeners: tuple[Listener, ...]
) -> tuple[Listener, ...]:
    known = _known_holders(host, attachment)
    while listeners and (pid := next(known, 0)):
        held = host.processes.with_sockets(_inodes(listeners), (pid,))
        listeners = tuple(each for each in listeners if each.inode not in held)
    return listeners


def _inodes(listeners: Iterable[Listener]) -> frozenset[int]:
    return frozenset(each.inode for each in listeners)


def _known_holders(host: Host, attachment: Attachment) -> Iterator[int]:
    """The ids of the process that holds ports for the container on nerdctl's behalf, and of our own."""
    named = of_nerdctl(attachment.container_id)
    if named is not None:
        noted = (host.files.read(_NERDCTL_RESERVER.format(*named)) or b"").strip()
        if _PID.fullmatch(noted):
            yield int(noted)
    yield from filter(None, map(host.services.pid, _OURS))


def _is_conmon_of(attachment: Attachment, process: Process) -> bool:
    """Whether it is podman's monitor of the container, which runs as root and has its ID as an argument."""
    return process.uid == 0 and attachment.container_id in process.arguments


def _described(processes: Iterable[Process]) -> str:
    first = next(iter(processes), None)
    return _UNKNOWN if first is None else f"{first.name or _UNKNOWN} (pid {first.pid})"
