"""The error number in a tool's message: iptables and nft pass on what the kernel answered in words only."""

from __future__ import annotations

import errno
import os

_CANDIDATES = (
    errno.ENOENT,
    errno.EEXIST,
    errno.EBUSY,
    errno.EAGAIN,
    errno.EPERM,
    errno.EACCES,
    errno.EINVAL,
    errno.EOPNOTSUPP,
    errno.EPROTONOSUPPORT,
    errno.EAFNOSUPPORT,
    errno.ENOMEM,
    errno.ENOBUFS,
    errno.ENOSPC,
    errno.ENFILE,  # its words begin with those of EMFILE
    errno.EMFILE,
    errno.EROFS,
    errno.EINTR,
    errno.ELOOP,
    errno.EMLINK,
    errno.ENAMETOOLONG,
    errno.ERANGE,
    errno.EOVERFLOW,
)
_PHRASES = (
    ("Chain already exists", errno.EEXIST),
    ("does a matching rule exist", errno.ENOENT),
    ("does not exist", errno.ENOENT),
    ("doesn't exist", errno.ENOENT),
    ("No chain/target/match by that name", errno.ENOENT),
    ("is incompatible, use 'nft' tool", errno.EOPNOTSUPP),
    ("you must be root", errno.EPERM),
    ("interval overlaps", errno.EEXIST),
    ("conflicting intervals", errno.EEXIST),
)


def errno_in(message: str) -> int:
    """The error number that a message of iptables, libiptc or nft stands for; EINVAL if it names none."""
    for phrase, number in _PHRASES:
        if phrase in message:
            return number
    return next((number for number in _CANDIDATES if os.strerror(number) in message), errno.EINVAL)
