"""From interface names to indexes and back, in the network namespace of a socket (netdevice(7))."""

from __future__ import annotations

import errno
import fcntl
import struct

_SIOCGIFNAME, _SIOCGIFINDEX = 0x8910, 0x8933  # linux/sockios.h
_IFNAMSIZ = 16  # linux/if.h; the name's NUL is part of it
_IFREQ = struct.Struct("=16si20x")


def index_of(descriptor: int, name: str) -> int | None:
    """The index of an interface, or None. Raises OSError."""
    encoded = name.encode(errors="surrogatepass")
    if len(encoded) >= _IFNAMSIZ or b"\0" in encoded:  # which would be cut to another name
        return None
    try:
        answer = fcntl.ioctl(descriptor, _SIOCGIFINDEX, _IFREQ.pack(encoded, 0))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    return int(_IFREQ.unpack(answer)[1])


def name_of(descriptor: int, index: int) -> str:
    """The name of an interface, "" if there is none of that index. Raises OSError."""
    try:
        answer = fcntl.ioctl(descriptor, _SIOCGIFNAME, _IFREQ.pack(b"", index))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return ""
        raise
    name: bytes = _IFREQ.unpack(answer)[0]
    return name.rstrip(b"\0").decode(errors="surrogateescape")
