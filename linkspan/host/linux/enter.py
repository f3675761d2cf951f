"""Moving this process into a container's network namespace for good, with a mount namespace of its own in
which the files that name resolution reads are the container's (as ip-netns(8) does for /etc/netns/NAME).
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from tempfile import mkstemp

from linkspan.host.linux.namespaces import open_netns

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000  # linux/sched.h
_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 0x80000  # linux/mount.h
_CONTROL_GROUPS = "/sys/fs/cgroup"
#: As much of a container's file as is read: resolvers read less of resolv.conf.
_LONGEST = 1 << 20


def enter(netns: str, files: Mapping[str, str | bytes]) -> tuple[str, ...]:
    """Be in the network namespace at a path from now on, with /sys of it, and with `files`.

    `files` is path -> the path of the file to see there, or what to read there. Returns the paths that stay
    as they are, because nothing is there that could be covered. Raises NetnsGone, InvalidNetns, OSError.
    """
    descriptor = open_netns(netns)
    try:
        _checked(_libc.setns(descriptor, _CLONE_NEWNET))
    finally:
        os.close(descriptor)
    _checked(_libc.unshare(_CLONE_NEWNS))
    # What is mounted from here on must not be seen by anybody else.
    _mount("none", "/", "", _MS_REC | _MS_SLAVE)
    _show_own_sysfs()
    return tuple(path for path, source in files.items() if not _covered(path, source))


def file_of(pid: int, path: str) -> bytes | None:
    """A file as a process sees it, None if it has none there.

    What a container's owner may have put there instead (links, devices) is not followed or opened.
    """
    folder = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        *folders, name = path.strip("/").split("/")
        for each in folders:
            inner = os.open(each, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = inner
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, dir_fd=folder), "rb") as file:
            return file.read(_LONGEST) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
    except OSError:
        return None
    finally:
        os.close(folder)


def _show_own_sysfs() -> None:
    """Show the links of the namespace in /sys/class/net, and the control groups where they were.

    Best effort: who may enter a namespace may still not be allowed to mount sysfs.
    """
    with suppress(OSError):
        groups = os.open(_CONTROL_GROUPS, os.O_PATH | os.O_CLOEXEC)
        try:
            _mount("sysfs", "/sys", "sysfs", 0)
            _mount(f"/proc/self/fd/{groups}", _CONTROL_GROUPS, "", _MS_BIND | _MS_REC)
        finally:
            os.close(groups)


def _covered(path: str, source: str | bytes) -> bool:
    """Mount a file, or one with this content, over another; whether that was possible."""
    if isinstance(source, bytes):
        return _is_written_and_mounted(source, path)
    # A container that has no such file keeps the host's.
    return not os.path.isfile(source) or _is_mounted(source, path)


def _is_written_and_mounted(content: bytes, path: str) -> bool:
    """Only a file with a name can be mounted; mounted, it needs none any more."""
    descriptor, temporary = mkstemp(prefix="linkspan-exec-", dir="/run")
    try:
        os.fchmod(descriptor, 0o644)
        os.write(descriptor, content)
        return _is_mounted(temporary, path)
    finally:
        os.unlink(temporary)
        os.close(descriptor)


def _is_mounted(source: str, path: str) -> bool:
    try:
        _mount(source, path, "", _MS_BIND)
    except FileNotFoundError:
        return False
    return True


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    words = (os.fsencode(each) or None for each in (source, target, kind))
    _checked(_libc.mount(*words, ctypes.c_ulong(flags), None))


def _checked(status: int) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


_libc = ctypes.CDLL(None, use_errno=True)
