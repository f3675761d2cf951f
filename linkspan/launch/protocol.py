"""What passes between an executable and the workers, for both sides; launcher.c speaks it too.

    master   -> launcher  one line, `greeting()`: protocol, build, network namespace, mount namespace
    launcher -> worker    one frame, `call_frame()`, with stderr and the namespace at CNI_NETNS as descriptors
    worker   -> launcher  one frame, `reply_frame()`: exit status, stdout

Every executable imports this module at every call, so it imports only what a bare interpreter has loaded
already.
"""

import posix

from linkspan import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Begins a greeting, and counts up when what passes changes: native launchers outlive an upgrade.
PROTOCOL = "linkspan 1"
#: Seconds that the greeting may take. A stopped process accepts connections and never speaks.
GREETING_TIMEOUT = 0.1
#: The longest frame that is read, in bytes; no configuration is of this size.
LIMIT = 16 << 20
#: The descriptors of a call, as `call_frame` names them.
STDERR, NETNS = "stderr", "netns"
#: The file whose identity on disk is that of the installation.
IDENTITY = __file__


class Call:
    """One call as its executable was given it.

    `descriptors` names the descriptors that came along, in their order.
    """

    # Not a dataclass: importing dataclasses takes longer than the interpreter's own start.
    __slots__ = ("cni_type", "cwd", "descriptors", "env", "stdin")

    def __init__(
        self, cni_type: str, cwd: str, env: "Mapping[str, str]", stdin: bytes, descriptors: "Sequence[str]"
    ) -> None:
        self.cni_type = cni_type
        self.cwd = cwd
        self.env = env
        self.stdin = stdin
        self.descriptors = tuple(descriptors)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and all(
            getattr(self, each) == getattr(other, each) for each in self.__slots__
        )

    __hash__ = None  # type: ignore[assignment]  # as of any class that defines __eq__ and can be changed


# --- the greeting ---------------------------------------------------------------------------------


def build() -> str:
    """What tells this installation from every other, and from itself before an upgrade.

    Raises OSError if it is gone.
    """
    stat = posix.stat(IDENTITY)
    return f"{stat.st_dev}.{stat.st_ino}.{stat.st_mtime_ns}.{stat.st_size}"


def greeting() -> bytes:
    """The line that a master in this process would greet with. Raises OSError where /proc is missing."""
    net, mnt = posix.readlink(paths.OWN_NETNS), posix.readlink("/proc/self/ns/mnt")
    return f"{PROTOCOL} {build()} {net} {mnt}\n".encode()


# --- frames ---------------------------------------------------------------------------------------


def pack(fields: "Sequence[bytes]") -> bytes:
    """One frame: the length of what follows, then each field behind its length (4 bytes, big-endian)."""
    body = b"".join([len(each).to_bytes(4, "big") + each for each in fields])
    return len(body).to_bytes(4, "big") + body


def unpack(body: bytes) -> list[bytes]:
    """The fields of a frame without its first length. Raises ValueError if it ends inside a field."""
    fields, at = [], 0
    while at < len(body):
        size = int.from_bytes(body[at : at + 4], "big")
        fields.append(body[at + 4 : at + 4 + size])
        at += 4 + size
    if at != len(body):
        raise ValueError("a frame that ends inside a field")
    return fields


def frame_size(head: bytes) -> int:
    """How many bytes follow the four at the start of a frame.

    Raises ValueError if that is more than LIMIT.
    """
    size = int.from_bytes(head[:4], "big")
    if size > LIMIT:
        raise ValueError(f"a frame of {size} bytes")
    return size


def call_frame(
    cni_type: str, cwd: bytes, environ: "Mapping[bytes, bytes]", stdin: bytes, descriptors: "Sequence[str]"
) -> bytes:
    """A call as one frame; `descriptors` says what the descriptors that travel with it are, in order."""
    variables = b"\0".join([name + b"=" + value for name, value in environ.items()])
    return pack([cni_type.encode(), cwd, variables, stdin, " ".join(descriptors).encode()])


def read_call(body: bytes) -> Call:
    """The call of a frame without its first length. Raises ValueError if it is not one of `call_frame`."""
    from os import fsdecode

    cni_type, cwd, variables, stdin, descriptors = unpack(body)
    pairs = [each.partition(b"=") for each in variables.split(b"\0")]
    return Call(
        cni_type=cni_type.decode(),
        cwd=fsdecode(cwd),
        # Of two variables of one name the first counts, as for getenv(3) and os.environ.
        env={fsdecode(name): fsdecode(value) for name, equals, value in reversed(pairs) if equals},
        stdin=stdin,
        descriptors=descriptors.decode().split(),
    )


def reply_frame(status: int, stdout: bytes) -> bytes:
    """What the executable relays: an exit status, and what goes to its stdout."""
    return pack([str(status).encode(), stdout])


def read_reply(body: bytes) -> tuple[int, bytes]:
    """The exit status and stdout of a frame without its first length.

    Raises ValueError if it is not one of `reply_frame`.
    """
    status, stdout = unpack(body)
    return int(status), stdout
