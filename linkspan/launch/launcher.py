"""The body of every executable: ask the resident, else run the plugin in this process.

A runtime starts one process for each plugin of each verb, so what this module costs is paid at every call: it imports nothing
that a bare interpreter has not loaded already, save `_socket` (tests/unit/launch/test_start_up.py pins that). The interpreter is started with
-I (the caller's PYTHON* variables are not ours) and -S (no site-packages); `see_everything` makes up for both when it must.

Where there is a C compiler, `linkspan install` writes native launchers (launcher.c), which know the resident's way as well and become
this one for everything else.

What passes between launcher and resident (`linkspan.launch.protocol` is the other side):

    resident -> launcher   one line, `greeting()`: build, network namespace, mount namespace
    launcher -> resident   one frame, `call_frame()`, with stderr and CNI_NETNS as descriptors
    resident -> launcher   one frame: exit status, stdout

Once the frame is on its way this process never runs the call itself: it would run twice.
"""

import _socket
import posix
import sys

from linkspan import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

#: The environment variable that keeps a launcher, and every launcher below it, from asking a resident.
STANDALONE = "LINKSPAN_STANDALONE"
#: How long the resident may take to greet, in seconds. A stopped process accepts connections and never speaks.
PATIENCE = 0.1
#: Begins the line by which a launcher is known: `# linkspan launcher: <type> <library>`; see `type_of_launcher`.
MARKER = b"# linkspan launcher: "
#: How far into a file that line is looked for, in bytes. A native launcher (launcher.c) has it among its constants.
MARKER_WITHIN = 1 << 20
#: Begins a greeting, and counts up when what passes between launcher and resident changes: native launchers outlive an upgrade.
PROTOCOL = "linkspan 1"

_SOL_SOCKET, _SCM_RIGHTS = 1, 1  # asm-generic/socket.h, linux/socket.h
#: The descriptors of a call, as `call_frame` names them.
STDERR, NETNS = b"stderr", b"netns"


def main(cni_type: str) -> "NoReturn":
    """Serve the call this process was started for, and exit."""
    _open_streams()
    command = posix.environ.get(b"CNI_COMMAND")
    if not command or posix.environ.get(STANDALONE.encode()):
        _exit(_run_here(cni_type, command, None))
    resident = _connect()
    stdin = _read_all(0)
    if resident is None:
        status = _run_here(cni_type, command, stdin)
        if command == b"ADD":
            _start_a_resident()
        _exit(status)
    if not _is_of_our_kind(resident) or not _send(resident, cni_type, stdin):
        resident.close()
        _exit(_run_here(cni_type, command, stdin))
    reply = _receive(resident)
    status, stdout = (1, _lost(stdin)) if reply is None else reply
    _write_all(stdout)
    _exit(status)


def lost() -> "NoReturn":
    """Say that the call on stdin was handed over and no answer came: for a native launcher, which cannot parse JSON."""
    _write_all(_lost(_read_all(0)))
    _exit(1)


# --- both sides -------------------------------------------------------------------------------------------------------


def build() -> str:
    """What tells this installation from every other, and from itself before an upgrade: the identity of this very file."""
    stat = posix.stat(__file__)
    return f"{stat.st_dev}.{stat.st_ino}.{stat.st_mtime_ns}.{stat.st_size}"


def greeting() -> bytes:
    """The line a resident in this process would greet with. Raises OSError where /proc is missing."""
    net, mnt = posix.readlink(paths.OWN_NETNS), posix.readlink("/proc/self/ns/mnt")
    return f"{PROTOCOL} {build()} {net} {mnt}\n".encode()


def pack(fields: "Sequence[bytes]") -> bytes:
    """One frame: the length of what follows, then every field with its own length; lengths are 4 bytes, big-endian."""
    body = b"".join([len(each).to_bytes(4, "big") + each for each in fields])
    return len(body).to_bytes(4, "big") + body


def unpack(body: bytes) -> list[bytes]:
    """The fields of a frame without its first length. Raises ValueError if it does not come out even."""
    fields, at = [], 0
    while at < len(body):
        size = int.from_bytes(body[at : at + 4], "big")
        fields.append(body[at + 4 : at + 4 + size])
        at += 4 + size
    if at != len(body):
        raise ValueError("a frame that ends inside a field")
    return fields


def call_frame(
    cni_type: str, cwd: bytes, environ: "Mapping[bytes, bytes]", stdin: bytes, descriptors: "Sequence[bytes]"
) -> bytes:
    """A call as one frame; `descriptors` says what the descriptors that travel with it are, in order."""
    variables = b"\0".join([name + b"=" + value for name, value in environ.items()])
    return pack([cni_type.encode(), cwd, variables, stdin, b" ".join(descriptors)])


def type_of_launcher(path: str) -> str:
    """The CNI type that the executable at `path` (symbolic links followed) runs out of *this* library, or "".

    Its marker line names type and library. The executables of a checkout are alike: there "-" stands for the file's own name, and the
    library is a path relative to the file's folder.
    """
    import os

    real = os.path.realpath(path)
    try:
        with open(real, "rb") as file:
            _, _, found = file.read(MARKER_WITHIN).partition(MARKER)
    except OSError:
        return ""
    cni_type, _, library = os.fsdecode(found.partition(b"\n")[0]).partition(" ")
    if not library or os.path.realpath(os.path.join(os.path.dirname(real), library)) != library_dir():
        return ""
    return os.path.basename(real) if cni_type == "-" else cni_type


def library_dir() -> str:
    """The folder that holds the package `linkspan`, symbolic links resolved."""
    import os

    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def see_everything() -> None:
    """Make third-party packages importable, and in a checkout the plugins' packages, after a start with -S."""
    import os
    import site

    if sys.flags.no_site:
        site.main()
    library = library_dir()
    rooms = f"{library}/plugins"
    folders = [f"{rooms}/{each}" for each in sorted(os.listdir(rooms))] if os.path.isdir(rooms) else []
    sys.path += [each for each in (library, *folders) if each not in sys.path]


# --- the resident's way -----------------------------------------------------------------------------------------------


def _connect() -> "_socket.socket | None":
    """A connection to the resident of this network namespace, or None if nobody listens."""
    resident = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        resident.settimeout(PATIENCE)
        resident.connect(paths.socket(paths.state_dir(), paths.WORKERS))
    except OSError:
        resident.close()
        return None
    return resident


def _is_of_our_kind(resident: "_socket.socket") -> bool:
    """Whether it greets in time, and as we would: same build, same namespaces."""
    try:
        wanted, heard = greeting(), b""
        while not heard.endswith(b"\n"):
            piece = resident.recv(512)
            if not piece:
                return False
            heard += piece
    except OSError:
        return False
    return heard == wanted


def _send(resident: "_socket.socket", cni_type: str, stdin: bytes) -> bool:
    """Hand the call over. False if it did not get through whole, so that nobody can have begun it."""
    descriptors = _descriptors()
    frame = call_frame(cni_type, _cwd(), posix.environ, stdin, [name for name, _ in descriptors])
    rights = b"".join([fd.to_bytes(4, sys.byteorder) for _, fd in descriptors])
    try:
        resident.settimeout(None)
        sent = resident.sendmsg([frame], [(_SOL_SOCKET, _SCM_RIGHTS, rights)])
        # Sending nothing is an error too once the other end has answered and hung up, and then the call has been carried out.
        if sent < len(frame):
            resident.sendall(frame[sent:])
    except OSError:
        return False
    finally:
        for name, fd in descriptors:
            if name == NETNS:
                posix.close(fd)
    return True


def _descriptors() -> list[tuple[bytes, int]]:
    """Our stderr and, if it is there, the container's namespace; the resident cannot open our /proc/self."""
    found = [(STDERR, 2)]
    netns = posix.environ.get(b"CNI_NETNS")
    try:
        if netns:
            found.append((NETNS, posix.open(netns, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)))
    except OSError:
        pass
    return found


def _receive(resident: "_socket.socket") -> tuple[int, bytes] | None:
    """The exit status and stdout, whenever they come; None if the resident went away without an answer."""
    try:
        size = int.from_bytes(_exactly(resident, 4), "big")
        status, stdout = unpack(_exactly(resident, size))
        return int(status), stdout
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
    """What to tell the runtime when a call was handed over and no answer came: it may have been carried out in part."""
    from linkspan.cni.errors import TryAgain
    from linkspan.cni.request import Input
    from linkspan.cni.result import encode_error

    error = TryAgain(
        "the linkspan resident went away during this call; try again later",
        f"what ADD may have left is taken back by DEL; the resident's log is resident.log below {paths.RUN_DIR}",
    )
    return encode_error(error, Input.parse(stdin).error_version)


# --- our own way ------------------------------------------------------------------------------------------------------


def _run_here(cni_type: str, command: bytes | None, stdin: bytes | None) -> int:
    """The plugin in this process. Whatever goes wrong, stdout gets one JSON object."""
    try:
        if command == b"VERSION":
            from linkspan.cni.versions import encode_versions

            _write_all(encode_versions(_read_all(0) if stdin is None else stdin))
            return 0
        see_everything()
        from linkspan.call.dispatch import main as serve

        return serve(cni_type, stdin)
    except Exception as error:
        import json

        text = f"linkspan cannot run here: {type(error).__name__}: {error}"
        details = f"interpreter {sys.executable}; is linkspan installed whole for it? see `linkspan install`"
        document = {"cniVersion": "1.1.0", "code": 199, "msg": text, "details": details}
        _write_all(json.dumps(document).encode() + b"\n")
        return 1


def _start_a_resident() -> None:
    """For the calls to come. This one is answered already, and a resident is a convenience: it fails in silence."""
    try:
        from linkspan.workers.start import start

        start()
    except Exception:  # noqa: S110
        pass


def _open_streams() -> None:
    """Open what is closed of descriptors 0 to 2, lest a socket of ours be taken for it."""
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
    """At once: nothing of ours is buffered, and tearing an interpreter down takes a millisecond."""
    posix._exit(status)  # noqa: SLF001
