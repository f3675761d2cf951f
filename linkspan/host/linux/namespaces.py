"""Network namespaces: opening one, being in one for a moment, and the number that tells one from every other."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from linkspan.cni.errors import InvalidNetns, NetnsGone

CLONE_NEWNET = 0x40000000  # linux/sched.h
NS_GET_NSTYPE = 0xB703  # linux/nsfs.h
SO_NETNS_COOKIE = 71  # asm-generic/socket.h, since Linux 5.14
OURS = "/proc/self/ns/net"


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
    home = os.open(OURS, os.O_RDONLY | os.O_CLOEXEC)
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


def cookie() -> str:
    """The kernel's number for our network namespace, never used twice in a boot; its inode where the kernel has none."""
    with socket.socket(socket.AF_UNIX) as asked:
        try:
            return str(int.from_bytes(asked.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), "little"))
        except OSError:
            return str(os.stat(OURS).st_ino)


def _setns(descriptor: int) -> None:
    if _libc().setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
