"""Errors of the system become errors of the contract."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from linkspan.cni.errors import IoFailure, KernelRefused, NotAFile

#: The advice to an ordinary user.
NEEDS_ROOT = "linkspan needs root"
#: No file of that name can be there; any other error says nothing about what is.
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


def advice(number: int) -> str:
    """What to do about an error number: what an ordinary user is refused is root's; "" for any other."""
    return NEEDS_ROOT if number in (errno.EACCES, errno.EPERM) and os.geteuid() else ""


@contextmanager
def kernel_errors(request: str, absent: Collection[int] = ()) -> Iterator[None]:
    """Raise KernelRefused for an OSError inside; one whose number is in `absent` ends the block quietly.

    `request` completes "the kernel refused to ...". What the kernel said beyond the number is in `details`.
    """
    try:
        yield
    except OSError as error:
        number = error.errno or errno.EIO
        if number not in absent:
            words = error.strerror or ""
            details = advice(number) if words == os.strerror(number) else words
            raise KernelRefused(request, number, details) from error


@contextmanager
def file_errors(verb: str, path: str, absent: Collection[int] = ()) -> Iterator[None]:
    """Raise IoFailure for an OSError inside: "cannot VERB PATH: ...", NotAFile if PATH is not a file.

    An error whose number is in `absent` ends the block without an error.
    """
    try:
        yield
    except OSError as error:
        number = error.errno or errno.EIO
        if number not in absent:
            failure = NotAFile if number in (errno.EISDIR, errno.ELOOP) else IoFailure
            raise failure(f"cannot {verb} {path}: {error.strerror}", advice(number), number) from error
    except ValueError:  # a NUL or a lone surrogate, both of which JSON can express
        raise IoFailure(f"cannot {verb} {path!a}: no file can have that name") from None
