"""The body of every executable: hand the call to the resident's workers, or serve it in this process.

A runtime starts one process for each plugin of each verb, so what this module costs is paid at every call:
it imports only what a bare interpreter has loaded already (pinned by tests/unit/launch/test_start_up.py).
The interpreter is started with -I and -S (see linkspan.launch.interpreter).

If a C compiler is present, `linkspan install` writes native launchers (launcher.c). They hand calls over as
this one does and become this one for everything else.

Once the call has been sent this process never serves it itself: it would be carried out twice.
"""

import posix

from linkspan import ALONE, STANDALONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main(cni_type: str) -> "NoReturn":
    """Serve the call this process was started for, and exit."""
    _open_streams()
    command = posix.environ.get(b"CNI_COMMAND", b"")
    if command == b"VERSION":
        _answer(0, _versions())
    standalone = posix.environ.get(STANDALONE.encode())
    if command and not standalone:
        _ask_resident(cni_type, command)
    status, stdout = _serve_here(cni_type, command, _read_all(0) if command else b"")
    _write_all(stdout)
    if command == b"ADD" and standalone != ALONE.encode():
        _start_supervisor()
    _exit(status)


def lost() -> "NoReturn":
    """Report that the call on stdin was handed over and no answer came, for a native launcher."""
    from linkspan.launch.client import lost_call

    _answer(1, lost_call(_read_all(0)))


def _versions() -> bytes:
    """The answer to VERSION, which needs no worker: podman asks every plugin whenever it starts."""
    from linkspan.cni.versions import encode_versions

    return encode_versions(_read_all(0))


def _ask_resident(cni_type: str, command: bytes) -> "NoReturn":
    """Answer as the resident's workers do; without a resident serve the call, and after an ADD start one."""
    from linkspan.launch import client

    resident = client.connect()
    stdin = _read_all(0)
    answer = None if resident is None else client.call(resident, cni_type, stdin)
    status, stdout = answer or _serve_here(cni_type, command, stdin)
    _write_all(stdout)
    if resident is None and command == b"ADD":
        client.start_resident()
    _exit(status)


def _start_supervisor() -> None:
    """After a call that asks no workers: somebody must keep the services and the rules."""
    from linkspan.launch import client

    if client.connect() is None:
        client.start_resident(workers=False)


def _serve_here(cni_type: str, command: bytes, stdin: bytes) -> tuple[int, bytes]:
    from linkspan.launch.standalone import serve

    return serve(cni_type, command, stdin)


# --- this process ---------------------------------------------------------------------------------


def _open_streams() -> None:
    """Open what is closed of descriptors 0 to 2, so that no socket of ours takes their place."""
    try:
        while (descriptor := posix.open("/dev/null", posix.O_RDWR)) <= 2:
            pass
        posix.close(descriptor)
    except OSError:
        pass


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


def _answer(status: int, stdout: bytes) -> "NoReturn":
    _write_all(stdout)
    _exit(status)


def _exit(status: int) -> "NoReturn":
    """At once: nothing of ours is buffered, and ending an interpreter in order takes a millisecond."""
    posix._exit(status)  # noqa: SLF001
