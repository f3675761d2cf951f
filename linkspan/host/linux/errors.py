"""Errors of the system become errors of the contract."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from linkspan.cni.errors import KernelRefused


@contextmanager
def kernel_errors(request: str, absent: Collection[int] = ()) -> Iterator[None]:
    """Raise KernelRefused for an OSError inside; one whose number is in `absent` ends the block without an error.

    `request` completes "the kernel refused to ...". What the kernel said beyond the number is in `details`.
    """
    try:
        yield
    except OSError as error:
        number = error.errno or errno.EIO
        if number not in absent:
            words = error.strerror or ""
            raise KernelRefused(request, number, "" if words == os.strerror(number) else words) from error
