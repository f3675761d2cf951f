"""The launcher's side of a conversation with the resident: hand a call over, and read the answer.

A launcher imports this module at every call, so it imports only what a bare interpreter has loaded already,
and `_socket`.
"""

import _socket
import posix
import sys

from linkspan import paths
from linkspan.launch import protocol

_SOL_SOCKET, _SCM_RIGHTS = 1, 1  # asm-generic/socket.h, linux/socket.h


def connect() -> "_socket.socket | None":
    """A connection to the resident of this network namespace, or None if nobody listens."""
    resident = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        resident.settimeout(protocol.GREETING_TIMEOUT)
        resident.connect(paths.socket(paths.state_dir(), paths.WORKERS))
    except OSError:
        resident.close()
        return None
    return resident


def call(resident: "_socket.socket", cni_type: str, stdin: bytes) -> tuple[int, bytes] | None:
    """Exit status and stdout of a call that was handed over, also if it was lost; None if it was not."""
    if greeting_matches(resident) and _send(resident, cni_type, stdin):
        return _receive(resident) or (1, lost_call(stdin))
    return None


def greeting_matches(resident: "_socket.socket") -> bool:
    """Whether it greets in time, and as we would: same protocol, same build, same namespaces."""
    try:
        expected, received = protocol.greeting(), b""
        while not received.endswith(b"\n"):
            piece = resident.recv(512)
            if not piece:
                return False
            received += piece
    except OSError:
        return False
    return received == expected


def _send(resident: "_socket.socket", cni_type: str, stdin: bytes) -> bool:
    """Hand the call over. False if it was not sent completely, so that nobody can have begun it."""
    descriptors = _descriptors()
    frame = protocol.call_frame(cni_type, _cwd(), posix.environ, stdin, [name for name, _ in descriptors])
    rights = b"".join([fd.to_bytes(4, sys.byteorder) for _, fd in descriptors])
    try:
        resident.settimeout(None)
        sent = resident.sendmsg([frame], [(_SOL_SOCKET, _SCM_RIGHTS, rights)])
        # Sending nothing is an error too once the other end has answered and hung up, and then the call was
        # carried out.
        if sent < len(frame):
            resident.sendall(frame[sent:])
    except OSError:
        return False
    finally:
        for name, fd in descriptors:
            if name == protocol.NETNS:
                posix.close(fd)
    return True


def _descriptors() -> list[tuple[str, int]]:
    """Our stderr and, if it exists, the container's namespace; a worker cannot open our /proc/self."""
    found = [(protocol.STDERR, 2)]
    netns = posix.environ.get(b"CNI_NETNS")
    try:
        if netns:
            flags = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC
            found.append((protocol.NETNS, posix.open(netns, flags)))
    except OSError:
        pass
    return found


def _cwd() -> bytes:
    try:
        return posix.getcwdb()
    except OSError:
        return b"/"


def _receive(resident: "_socket.socket") -> tuple[int, bytes] | None:
    """The exit status and stdout, whenever they come; None if the resident hung up without an answer."""
    try:
        size = int.from_bytes(_exactly(resident, 4), "big")
        return protocol.read_reply(_exactly(resident, size))
    except (OSError, ValueError):
        return None


def _exactly(resident: "_socket.socket", size: int) -> bytes:
    received = b""
    while len(received) < size:
        piece = resident.recv(size - len(received))
        if not piece:
            raise ValueError("the resident hung up")
        received += piece
    return received


def lost_call(stdin: bytes) -> bytes:
    """The error for a call that was handed over and not answered: it may have been carried out in part."""
    from linkspan.cni.errors import TryAgain
    from linkspan.cni.request import Input
    from linkspan.cni.result import encode_error

    error = TryAgain(
        "the linkspan resident went away during this call; try again later",
        "what ADD may have left is taken back by DEL; "
        f"the resident's log is resident.log below {paths.RUN_DIR}",
    )
    return encode_error(error, Input.parse(stdin).error_version)


def start_resident(*, workers: bool = True) -> None:
    """For the calls to come, or without workers, for the services and the rules alone.

    The present one is answered already, and nothing that goes wrong here may change that.
    """
    try:
        from linkspan.launch.interpreter import WITHOUT_WORKERS, start

        log = paths.log(paths.state_dir(), paths.WORKERS)
        start(paths.workers_program(), log, *(() if workers else (WITHOUT_WORKERS,)))
    except Exception:  # noqa: S110
        pass
