"""What a launcher says and what it is answered, as values. `linkspan.launch.launcher` is the other side. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from linkspan.launch.launcher import pack, unpack

#: The longest frame that is listened to, in bytes; a configuration of this size is no configuration.
LIMIT = 16 << 20


@dataclass(frozen=True, slots=True)
class Call:
    """One call as the launcher was given it. `descriptors` names the descriptors that came along, in their order."""

    cni_type: str
    cwd: str
    env: Mapping[str, str]
    stdin: bytes
    descriptors: tuple[str, ...]


def frame_size(head: bytes) -> int:
    """How many bytes follow the four at the start of a frame. Raises ValueError if that is too many."""
    size = int.from_bytes(head[:4], "big")
    if size > LIMIT:
        raise ValueError(f"a frame of {size} bytes")
    return size


def read_call(body: bytes) -> Call:
    """A frame without its first length, as `launch.call_frame` makes it. Raises ValueError if it is something else."""
    cni_type, cwd, variables, stdin, descriptors = unpack(body)
    pairs = [each.partition(b"=") for each in variables.split(b"\0")]
    return Call(
        cni_type=cni_type.decode(),
        cwd=os.fsdecode(cwd),
        # Of two variables of one name the first counts, as for getenv(3) and os.environ.
        env={os.fsdecode(name): os.fsdecode(value) for name, equals, value in reversed(pairs) if equals},
        stdin=stdin,
        descriptors=tuple(descriptors.decode().split()),
    )


def reply_frame(status: int, stdout: bytes) -> bytes:
    """What the launcher relays: an exit status and what goes to its stdout."""
    return pack([str(status).encode(), stdout])
