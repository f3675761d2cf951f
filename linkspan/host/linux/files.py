"""Files and locks: flock(2), open-file-description locks, nameless files that get their name by link(2), rename(2) to replace."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from linkspan import paths
from linkspan.cni.errors import IoFailure, NotAFile
from linkspan.cni.model import Attachment

#: No file of that name can be there; any other error says nothing of what is.
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
#: What a file is called, behind its own name, until it replaces the one that is there.
_TEMPORARY = ".linkspan~"
_FLOCK = "hhqqi4x"  # struct flock of fcntl.h on 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid


class LinuxFiles:
    """The contract's Files. `held` are the descriptors of attachment locks, for programs we start to inherit."""

    def __init__(self, state_dir: str) -> None:
        self._state_dir = state_dir
        self.held: list[int] = []

    def exists(self, path: str) -> bool:
        """See contract.Files."""
        return self.stamp(path) is not None

    def read(self, path: str) -> bytes | None:
        """See contract.Files."""
        with _telling("read", path):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | self._no_follow(path))
            except OSError as error:
                if error.errno in _ABSENT:
                    return None
                raise
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise NotAFile(f"cannot read {path}: not a regular file")
                with open(descriptor, "rb", closefd=False) as file:
                    return file.read()
            finally:
                os.close(descriptor)

    def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """See contract.Files."""
        self.make_folder(os.path.dirname(path))
        with _telling("write", path):
            while not _replaced(path, data, mode):
                pass

    def create(self, path: str, data: bytes, *, mode: int = 0o600, aside: str) -> bool:
        """See contract.Files."""
        self.make_folder(aside)
        with (
            _telling("create", path),
            _written(f"{aside}/{os.path.basename(path)}{_TEMPORARY}", data, mode) as give,
        ):
            try:
                give(path)
            except FileExistsError:
                return False
        return True

    def remove(self, path: str) -> bool:
        """See contract.Files."""
        with _telling("remove", path):
            _remove(f"{path}{_TEMPORARY}")
            return _remove(path)

    def remove_folder(self, path: str) -> bool:
        """See contract.Files."""
        with _telling("remove", path):
            try:
                os.rmdir(path)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                    return False
                raise
        return True

    def names(self, folder: str) -> tuple[str, ...]:
        """See contract.Files."""
        with _telling("list", folder):
            try:
                return tuple(sorted(os.listdir(folder)))
            except (FileNotFoundError, NotADirectoryError):
                return ()

    def can_write(self, folder: str) -> bool:
        """See contract.Files. A file system that is read-only counts (access(2), EROFS)."""
        while not os.path.lexists(folder) and folder != os.path.dirname(folder):
            folder = os.path.dirname(folder)
        return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)

    def stamp(self, path: str) -> tuple[int, int] | None:
        """See contract.Files."""
        with _telling("look at", path):
            try:
                seen = os.lstat(path)
            except OSError as error:
                if error.errno in _ABSENT:
                    return None
                raise
        return seen.st_ino, seen.st_ctime_ns

    def make_folder(self, path: str, *, mode: int = 0o700) -> None:
        """See contract.Files."""
        if os.path.isdir(path):
            self._trusted(path)
            return
        parent = os.path.dirname(path)
        if parent != path:
            self.make_folder(parent, mode=0o755 if not paths.is_state(parent) else mode)
        with _telling("make the folder", path), suppress(FileExistsError):
            os.mkdir(path, mode)
            os.chmod(path, mode)  # the umask is the caller's here and the resident's there
        self._trusted(path)

    @contextmanager
    def lock(self, path: str, *, mode: int = 0o600) -> Iterator[None]:
        """See contract.Files."""
        self.make_folder(os.path.dirname(path))
        with _telling("lock", path):
            descriptor = os.open(path, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC | self._no_follow(path), mode)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def lock_attachment(self, plugin: str, attachment: Attachment) -> Iterator[None]:
        """See contract.Files: one byte of one file per plugin, so that no attachment leaves a lock file."""
        path = paths.lock(self._state_dir, plugin)
        self.make_folder(os.path.dirname(path))
        with _telling("lock", path):
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self.held.append(descriptor)
        try:
            byte = int(attachment.key[:15], 16)
            fcntl.fcntl(
                descriptor, fcntl.F_OFD_SETLKW, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
            )
            yield
        finally:
            self.held.remove(descriptor)
            os.close(descriptor)

    def _no_follow(self, path: str) -> int:
        return os.O_NOFOLLOW if paths.is_state(path) else 0

    def _trusted(self, path: str) -> None:
        """Our state is root's own and no link to elsewhere; a stranger's folder there is not used."""
        if not paths.is_state(path):
            return
        seen = os.lstat(path)
        if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid():
            raise IoFailure(f"{path} is not a folder of our own", "remove it; linkspan makes it anew")


def _replaced(path: str, data: bytes, mode: int) -> bool:
    """Write a file whole. False if another writer of the same file interfered: write it again.

    The temporary name is the same for all writers, so that the next one, or whoever removes the file, also
    removes what a killed writer has left.
    """
    temporary = f"{path}{_TEMPORARY}"
    with _written(temporary, data, mode) as give:
        try:
            give(path)
        except FileExistsError:
            _remove(temporary)
        else:
            return True
        try:
            give(temporary)
            os.rename(temporary, path)
        except (FileExistsError, FileNotFoundError):
            return False
        except BaseException:
            _remove(temporary)
            raise
    return True


@contextmanager
def _written(aside: str, data: bytes, mode: int) -> Iterator[Callable[[str], None]]:
    """A file with `data`, and what gives it a name; FileExistsError if the name is taken.

    Until then it has none (O_TMPFILE, open(2)), so that a process killed here leaves nothing; where the file system cannot do that
    it is called `aside` and our process id.
    """
    try:
        descriptor = os.open(os.path.dirname(aside), os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
        with _written_aside(aside, data, mode) as give:
            yield give
        return
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        # A directory's descriptor makes Python call linkat(2), which alone follows the link in /proc.
        yield lambda path: os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor)


@contextmanager
def _written_aside(aside: str, data: bytes, mode: int) -> Iterator[Callable[[str], None]]:
    flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    hidden = f"{aside}.{os.getpid()}"
    try:
        with open(os.open(hidden, flags, mode), "wb") as file:
            file.write(data)
        yield lambda path: os.link(hidden, path)
    finally:
        _remove(hidden)


def _remove(path: str) -> bool:
    try:
        os.unlink(path)
    except OSError as error:
        if error.errno in _ABSENT:
            return False
        raise
    return True


@contextmanager
def _telling(verb: str, path: str) -> Iterator[None]:
    """Errors of the system become ours, here and nowhere else."""
    try:
        yield
    except OSError as error:
        failure = NotAFile if error.errno in (errno.EISDIR, errno.ELOOP) else IoFailure
        raise failure(f"cannot {verb} {path}: {error.strerror}", errno=error.errno or 0) from error
    except ValueError:  # a NUL, or a lone surrogate: JSON can say both
        raise IoFailure(f"cannot {verb} {path!a}: no file can have that name") from None
