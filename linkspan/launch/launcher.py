"""The body of every executable: hand the call to the resident's workers, or serve it in this process.

A runtime starts one process for each plugin of each verb, so what this module costs is paid at every call:
it imports only what a bare interpreter has loaded already, and `_socket` (pinned by
tests/unit/launch/test_start_up.py). The interpreter is started with -I and -S (see
linkspan.launch.interpreter).

If a C compiler is present, `linkspan install` writes native launchers (launcher.c). They hand calls over as
this one does and become this one for everything else.

Once the call has been sent this process never serves it itself: it would be carried out twice.
"""

import _socket
import posix
import sys

from linkspan import STANDALONE, paths
from linkspan.launch import protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_SOL_SOCKET, _SCM_RIGHTS = 1, 1  # asm-generic/socket.h, linux/socket.h


def main(cni_type: str) -> "NoReturn":
    """Serve the call this process was started for, and exit."""
    _open_streams()
    command = posix.environ.get(b"CNI_COMMAND", b"")
    asks = bool(command) and not posix.environ.get(STANDALONE.encode())
    resident = _connect() if asks else None
    stdin = _read_all(0) if command else b""
    if resident is not None and greeting_matches(resident) and _send(resident, cni_type, stdin):
        status, stdout = _receive(resident) or (1, _lost(stdin))
    else:
        status, stdout = _serve_here(cni_type, command, stdin)
    _write_all(stdout)
    if asks and resident is None and command == b"ADD":
        _start_resident()
    _exit(status)


def lost() -> "NoReturn":
    """Report that the call on stdin was handed over and no answer came, for a native launcher."""
    _write_all(_lost(_read_all(0)))
    _exit(1)


# --- with a resident ------------------------------------------------------------------------------


def _connect() -> "_socket.socket | None":
    """A connection to the resident of this network namespace, or None if nobody listens."""
    resident = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        resident.settimeout(protocol.GREETING_TIMEOUT)
        resident.connect(paths.socket(paths.state_dir(), paths.WORKERS))
    except OSError:
        resident.close()
        return None
    return resident


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


def _lost(stdin: bytes) -> bytes:
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


# --- without one ----------------------------------------------------------------------------------


def _serve_here(cni_type: str, command: bytes, stdin: bytes) -> tuple[int, bytes]:
    from linkspan.launch.standalone import serve

    return serve(cni_type, command, stdin)


def _start_resident() -> None:
    """For the calls to come.

    This one is answered already, and nothing that goes wrong here may change that.
    """
    try:
        from linkspan.launch.interpreter import start

        start(paths.workers_program(), paths.log(paths.state_dir(), paths.WORKERS))
    except Exception:  # noqa: S110
        pass


# --- this process ---------------------------------------------------------------------------------


def _open_streams() -> None:
    """Open what is closed of descriptors 0 to 2, so that no socket of ours takes their place."""
    try:
        while (descriptor := posix.open("/dev/null", posix.O_RDWR)) <= 2:
            pass
        posix.close(descriptor)
    except OSError:
        pass


def _cwd() -> bytes:
    try:
        return posix.getcwdb()
    except OSError:
        return b"/"


def _read_all(fd: int) -> bytes:
    pieces = []
    try:
        while piece := posix.read(fd, 1 << 16):
            pieces.append(piece)
    except OSError:
        pass
    return b"".join(pieces)


def _write_all(data: bytes) -> None:
    while data:
        data = data[posix.write(1, data) :]


def _exit(status: int) -> "NoReturn":
    """At once: nothing of ours is buffered, and ending an interpreter in order takes a millisecond."""
    posix._exit(status)  # noqa: SLF001
