"""Network namespaces: opening one, being in one for a moment, and the number that tells one from every other."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from linkspan.cni.errors import InvalidNetns, NetnsGone
from linkspan.paths import OWN_NETNS

CLONE_NEWNET = 0x40000000  # linux/sched.h
NS_GET_NSTYPE = 0xB703  # linux/nsfs.h


def open_netns(path: str) -> int:
    """A descriptor of the network namespace at `path`. NetnsGone if nothing is there, InvalidNetns if it is something else."""
    if not path:
        raise NetnsGone("CNI_NETNS is empty", "it names the container's network namespace")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESRCH):
            raise NetnsGone(
                f"CNI_NETNS {path} is gone", "the container has ended, or the path is wrong"
            ) from None
        raise InvalidNetns(f"CNI_NETNS {path} cannot be opened: {error.strerror}") from None
    try:
        return checked(descriptor, path)
    except InvalidNetns:
        os.close(descriptor)
        raise


def checked(descriptor: int, path: str) -> int:
    """The descriptor of what was opened at `path`, if it is a network namespace. Raises InvalidNetns."""
    if not is_netns(descriptor):
        raise InvalidNetns(f"CNI_NETNS {path} is not a network namespace", "give a path like /run/netns/NAME")
    return descriptor


def is_netns(descriptor: int) -> bool:
    """Whether an open file is a network namespace (ioctl_ns(2))."""
    try:
        return fcntl.ioctl(descriptor, NS_GET_NSTYPE) == CLONE_NEWNET
    except OSError:
        return False


@contextmanager
def inside(descriptor: int) -> Iterator[None]:
    """Be in that network namespace meanwhile. A process that cannot come back ends: it must never act in the wrong one."""
    home = os.open(OWN_NETNS, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(descriptor)
        try:
            yield
        finally:
            try:
                _setns(home)
            except OSError:
                os._exit(70)
    finally:
        os.close(home)


def _setns(descriptor: int) -> None:
    if _libc().setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
