"""Network namespaces: opening one, being inside one for a moment, telling whether it is our own."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from linkspan.cni.errors import InvalidNetns, NetnsGone
from linkspan.host.contract import Netns
from linkspan.host.linux.errors import kernel_errors
from linkspan.host.linux.holders import UNKNOWN, candidates
from linkspan.paths import OWN_NETNS, netns_cookie

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_NS_GET_NSTYPE = 0xB703  # linux/nsfs.h
#: Nothing is at a path, or the process that a path in /proc names has ended.
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESRCH)
_CANNOT_RETURN = 70  # EX_SOFTWARE of sysexits.h


def open_netns(path: str) -> int:
    """A descriptor of the network namespace at `path`.

    Raises NetnsGone if nothing is there, InvalidNetns for everything else.
    """
    if not path:
        raise NetnsGone("CNI_NETNS is empty", "it names the container's network namespace")
    try:
        # O_NONBLOCK: a FIFO or a device must not keep us waiting before it is recognized.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in _GONE:
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
    try:
        is_netns = fcntl.ioctl(descriptor, _NS_GET_NSTYPE) == _CLONE_NEWNET
    except OSError:  # which error a file answers depends on what it is
        is_netns = False
    if not is_netns:
        raise InvalidNetns(f"CNI_NETNS {path} is not a network namespace", "give a path like /run/netns/NAME")
    return descriptor


def same_namespace(path: str) -> bool:
    """Whether `path` is the network namespace we run in; False if nothing is there.

    Raises InvalidNetns if that cannot be determined.
    """
    return identity(path) == identity(OWN_NETNS)


def identity(path: str) -> str:
    """Tells namespaces that exist at this moment apart (namespaces(7)); "" if nothing is at `path`.

    Raises InvalidNetns if that cannot be determined.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        if error.errno in _GONE:
            return ""
        raise InvalidNetns(f"CNI_NETNS {path} cannot be read: {error.strerror}") from error
    return f"{found.st_dev}:{found.st_ino}"


class LinuxNamespaces:
    """The contract's Namespaces. `descriptor` and `cookie` are of the namespace at a path."""

    def __init__(self, descriptor: Callable[[str], int], cookie: Callable[[str], int]) -> None:
        self._descriptor, self._cookie = descriptor, cookie

    def identify(self, path: str) -> Netns:
        """See contract.Namespaces."""
        with kernel_errors(f"identify the network namespace {path}"):
            return Netns(os.fstat(self._descriptor(path)).st_ino, self._cookie(path))

    def is_held(self, netns: Netns, *, likely: str = "") -> bool:
        """See contract.Namespaces."""
        with kernel_errors("look for whoever holds a network namespace"):
            places = (path for _, path in candidates(netns.inode))
            return (bool(likely) and _is_at(likely, netns)) or any(_is_at(each, netns) for each in places)


def _is_at(path: str, netns: Netns) -> bool:
    """Whether a namespace is at a path. Raises OSError unless that can be told."""
    try:
        found = os.stat(path)
        if (found.st_dev, found.st_ino) != (os.stat(OWN_NETNS).st_dev, netns.inode):
            return False
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in UNKNOWN:
            raise
        return False
    try:
        with inside(descriptor):
            return netns.cookie in (0, netns_cookie())
    finally:
        os.close(descriptor)


@contextmanager
def inside(descriptor: int) -> Iterator[None]:
    """Be inside that network namespace meanwhile. Raises OSError.

    A process that cannot return ends: it must never act in the wrong namespace.
    """
    home = os.open(OWN_NETNS, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(descriptor)
        try:
            yield
        finally:
            try:
                _setns(home)
            except OSError:
                os._exit(_CANNOT_RETURN)
    finally:
        os.close(home)


def _setns(descriptor: int) -> None:
    if _libc().setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
