"""The contract's Files on the kernel.

Locks are flock(2) and open-file-description locks. New files are nameless (O_TMPFILE) until link(2) gives
them their name; rename(2) replaces.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache

from linkspan import paths
from linkspan.cni.errors import IoFailure, NotAFile
from linkspan.cni.model import Attachment
from linkspan.host.linux.errors import ABSENT, NEEDS_ROOT, file_errors
from linkspan.host.linux.patience import acquire_within, flock

#: What follows a file's name while it is being written, until it replaces the one that is there.
_TEMPORARY = ".linkspan~"
_FLOCK = "hhqqi4x"  # struct flock of fcntl.h on 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid


class LinuxFiles:
    """Files of this host.

    `held` are the descriptors of attachment locks, which the programs we start inherit.
    """

    def __init__(self, state_dir: str) -> None:
        drop_links_to_others()
        self._state_dir = state_dir
        self.held: list[int] = []

    def exists(self, path: str) -> bool:
        """See contract.Files."""
        return self.stamp(path) is not None

    def read(self, path: str) -> bytes | None:
        """See contract.Files."""
        with file_errors("read", path, absent=ABSENT):
            # O_NONBLOCK: a FIFO must not keep us waiting before it is recognized.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | _no_follow(path))
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise NotAFile(f"cannot read {path}: not a regular file")
                with open(descriptor, "rb", closefd=False) as file:
                    return file.read()
            finally:
                os.close(descriptor)
        return None

    def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """See contract.Files."""
        self.make_folder(os.path.dirname(path))
        with file_errors("write", path):
            while not _replaced(path, data, mode):
                pass

    def create(self, path: str, data: bytes, *, mode: int = 0o600, temporary_in: str) -> bool:
        """See contract.Files."""
        self.make_folder(temporary_in)
        temporary = f"{temporary_in}/{os.path.basename(path)}{_TEMPORARY}"
        with file_errors("create", path), _written(temporary, data, mode) as name_it:
            try:
                name_it(path)
            except FileExistsError:
                return False
        return True

    def remove(self, path: str) -> bool:
        """See contract.Files."""
        with file_errors("remove", path):
            _remove(f"{path}{_TEMPORARY}")
            return _remove(path)

    def remove_folder(self, path: str) -> bool:
        """See contract.Files."""
        with file_errors("remove", path, absent=(errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST)):
            os.rmdir(path)
            return True
        return False

    def names(self, folder: str) -> tuple[str, ...]:
        """See contract.Files."""
        with file_errors("list", folder, absent=ABSENT):
            return tuple(sorted(os.listdir(folder)))
        return ()

    def can_write(self, folder: str) -> bool:
        """See contract.Files. On a read-only file system the answer is False (access(2), EROFS)."""
        while not self.exists(folder) and folder != os.path.dirname(folder):
            folder = os.path.dirname(folder)
        return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)

    def stamp(self, path: str) -> tuple[int, int] | None:
        """See contract.Files."""
        with file_errors("read", path, absent=ABSENT):
            status = os.lstat(path)
            return status.st_ino, status.st_ctime_ns
        return None

    def make_folder(self, path: str, *, mode: int = 0o700) -> None:
        """See contract.Files."""
        if not os.path.isdir(path):
            parent = os.path.dirname(path)
            if parent != path:
                self.make_folder(parent, mode=mode if paths.is_state(parent) else 0o755)
            with file_errors("make the folder", path):
                _make(path, mode)
        if paths.is_state(path):
            _check_owner(path)

    @contextmanager
    def lock(self, path: str, *, mode: int = 0o600) -> Iterator[None]:
        """See contract.Files."""
        with self._opened(path, os.O_RDONLY | _no_follow(path), mode) as descriptor:
            with file_errors("lock", path):
                flock(descriptor, path)
            yield

    @contextmanager
    def lock_attachment(self, plugin: str, attachment: Attachment) -> Iterator[None]:
        """See contract.Files.

        What is locked is one byte of one file for each plugin, so that no attachment leaves a lock file.
        """
        path = paths.lock(self._state_dir, plugin)
        byte = int(attachment.key[:15], 16)
        with self._opened(path, os.O_RDWR | os.O_NOFOLLOW, 0o600) as descriptor:
            self.held.append(descriptor)
            try:
                with file_errors("lock", path):
                    request = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
                    acquire_within(
                        path,
                        lambda: fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request),
                        lambda: fcntl.fcntl(descriptor, fcntl.F_OFD_SETLKW, request),
                    )
                yield
            finally:
                self.held.remove(descriptor)

    @contextmanager
    def _opened(self, path: str, flags: int, mode: int) -> Iterator[int]:
        """A lock's file, made if it is absent; closing it releases the lock."""
        self.make_folder(os.path.dirname(path))
        with file_errors("lock", path):
            descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, mode)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


@cache
def drop_links_to_others(tops: Iterable[str] = (paths.RUN_DIR, paths.LIBRARY_DIR)) -> None:
    """Remove links of ours in the place of our directories that lead to another user's. Once in a process.

    RootlessKit makes such links in the /run and /var/lib of a user's namespaces, to what root has there.
    """
    for each in tops:
        with suppress(OSError):
            link = os.lstat(each)
            is_ours = stat.S_ISLNK(link.st_mode) and link.st_uid == os.geteuid()
            if is_ours and os.stat(each).st_uid != os.geteuid():
                os.unlink(each)


def remove_abandoned(folder: str, *, age: float) -> int:
    """Remove what killed writers have left below a folder, if it is older than `age` seconds; how many
    there were.

    The next writer of the same file removes it too, but there may be none.
    """
    found = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            path = f"{parent}/{name}"
            with suppress(OSError):
                if _TEMPORARY in name and time.time() - os.lstat(path).st_mtime > age:
                    os.unlink(path)
                    found += 1
    return found


def _no_follow(path: str) -> int:
    return os.O_NOFOLLOW if paths.is_state(path) else 0


def _make(path: str, mode: int) -> None:
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    else:
        os.chmod(path, mode)  # the umask is the caller's in a launcher and the worker's in a worker


def _check_owner(path: str) -> None:
    """Believe state only in folders of our own: another user could have made this one, or a link here."""
    with file_errors("read", path):
        status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        advice = NEEDS_ROOT if os.geteuid() else "remove it; linkspan makes it again"
        raise IoFailure(f"{path} is not a folder of our own", advice)


def _replaced(path: str, data: bytes, mode: int) -> bool:
    """Write a file whole. False if another writer of the same file interfered: write it again.

    The temporary name is the same for all writers, so that the next one, or whoever removes the file, also
    removes what a killed writer has left.
    """
    temporary = f"{path}{_TEMPORARY}"
    with _written(temporary, data, mode) as name_it:
        try:
            name_it(path)
        except FileExistsError:
            _remove(temporary)
        else:
            return True
        try:
            name_it(temporary)
            os.rename(temporary, path)
        except (FileExistsError, FileNotFoundError):
            return False
        except BaseException:
            _remove(temporary)
            raise
    return True


@contextmanager
def _written(temporary: str, data: bytes, mode: int) -> Iterator[Callable[[str], None]]:
    """A file with `data`, and a function that names it, or raises FileExistsError if the name is taken.

    Until then it has none (O_TMPFILE, open(2)), so that a process killed here leaves nothing. On a file
    system without such files it is called `temporary` and our process id.
    """
    try:
        descriptor = os.open(os.path.dirname(temporary), os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
        with _written_by_name(f"{temporary}.{os.getpid()}", data, mode) as name_it:
            yield name_it
        return
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        # A directory's descriptor makes Python call linkat(2), which alone follows the link in /proc.
        yield lambda path: os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor)


@contextmanager
def _written_by_name(temporary: str, data: bytes, mode: int) -> Iterator[Callable[[str], None]]:
    flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with open(os.open(temporary, flags, mode), "wb") as file:
            file.write(data)
        yield lambda path: os.link(temporary, path)
    finally:
        with suppress(OSError):
            _remove(temporary)


def _remove(path: str) -> bool:
    try:
        os.unlink(path)
    except OSError as error:
        if error.errno in ABSENT:
            return False
        raise
    return True
