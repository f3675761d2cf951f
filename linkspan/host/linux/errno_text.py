"""The errno inside a tool's message: iptables and nft say only in words what the kernel answered."""

from __future__ import annotations

import errno
import os

_LIKELY = (
    errno.ENOENT,
    errno.EEXIST,
    errno.EBUSY,
    errno.EAGAIN,
    errno.EPERM,
    errno.EACCES,
    errno.EINVAL,
    errno.EOPNOTSUPP,
    errno.EAFNOSUPPORT,
    errno.ENOMEM,
    errno.ENOBUFS,
    errno.ENOSPC,
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
    """The errno that a message of iptables, libiptc or nft speaks of; EINVAL if it speaks of none."""
    for phrase, number in _PHRASES:
        if phrase in message:
            return number
    return next((number for number in _LIKELY if os.strerror(number) in message), errno.EINVAL)
