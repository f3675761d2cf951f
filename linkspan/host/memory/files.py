"""The contract's Files in memory."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from linkspan import paths
from linkspan.cni.errors import IoFailure, NotAFile
from linkspan.cni.model import Attachment


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    mode: int
    inode: int
    changed: int


class MemoryFiles:
    """Files and folders by path. For tests, `contents` has all files and `held` the locks that are held.

    To take a lock that is held raises RuntimeError: there is no other process that would release it.
    """

    def __init__(self) -> None:
        self.held: set[str] = set()
        self._files: dict[str, _File] = {}
        self._folders: dict[str, int] = {"/": 0o755}
        self._numbers = count(1)

    @property
    def contents(self) -> dict[str, bytes]:
        """Path -> content of every file."""
        return {path: file.data for path, file in self._files.items()}

    def mode(self, path: str) -> int | None:
        """The permissions of a file or folder, None if absent."""
        file = self._files.get(path)
        return self._folders.get(path) if file is None else file.mode

    def exists(self, path: str) -> bool:
        """See contract.Files."""
        return path in self._files or path in self._folders

    def lines(self) -> Iterator[str]:
        """Every file as a line."""
        for path, file in self._files.items():
            yield f"file {path} {file.mode:04o} {file.data!r}"

    def read(self, path: str) -> bytes | None:
        """See contract.Files."""
        _want_path("read", path)
        if path in self._folders:
            raise _failure("read", path, errno.EISDIR)
        file = self._files.get(path)
        return None if file is None else file.data

    def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """See contract.Files."""
        self.make_folder(os.path.dirname(path))
        if path in self._folders:
            raise _failure("write", path, errno.EISDIR)
        self._put(path, data, mode)

    def create(self, path: str, data: bytes, *, mode: int = 0o600, temporary_in: str) -> bool:
        """See contract.Files."""
        self.make_folder(temporary_in)
        if self.exists(path):
            return False
        if os.path.dirname(path) not in self._folders:
            raise _failure("create", path, errno.ENOENT)
        self._put(path, data, mode)
        return True

    def remove(self, path: str) -> bool:
        """See contract.Files."""
        _want_path("remove", path)
        if path in self._folders:
            raise _failure("remove", path, errno.EISDIR)
        return self._files.pop(path, None) is not None

    def remove_folder(self, path: str) -> bool:
        """See contract.Files."""
        if path in self._files:
            raise _failure("remove", path, errno.ENOTDIR)
        if path not in self._folders or self._below(path):
            return False
        del self._folders[path]
        return True

    def names(self, folder: str) -> tuple[str, ...]:
        """See contract.Files."""
        _want_path("list", folder)
        return tuple(sorted(self._below(folder)))

    def can_write(self, folder: str) -> bool:
        """See contract.Files. Nothing here is read-only, but nothing can be created below a file."""
        above = [folder[:at] for at, each in enumerate(folder) if each == "/"]
        return not any(path in self._files for path in (folder, *above))

    def stamp(self, path: str) -> tuple[int, int] | None:
        """See contract.Files."""
        file = self._files.get(path)
        return None if file is None else (file.inode, file.changed)

    def make_folder(self, path: str, *, mode: int = 0o700) -> None:
        """See contract.Files."""
        _want_path("make the folder", path)
        if path in self._folders:
            return
        if path in self._files:
            raise _failure("make the folder", path, errno.ENOTDIR)
        parent = os.path.dirname(path)
        self.make_folder(parent, mode=mode if paths.is_state(parent) else 0o755)
        self._folders[path] = mode

    @contextmanager
    def lock(self, path: str, *, mode: int = 0o600) -> Iterator[None]:
        """See contract.Files."""
        self.make_folder(os.path.dirname(path))
        if path not in self._files:
            self._put(path, b"", mode)
        with self._holding(path):
            yield

    @contextmanager
    def lock_attachment(self, plugin: str, attachment: Attachment) -> Iterator[None]:
        """See contract.Files."""
        with self._holding(f"{plugin}: {attachment}"):
            yield

    @contextmanager
    def _holding(self, lock: str) -> Iterator[None]:
        if lock in self.held:
            raise RuntimeError(f"deadlock: {lock} is held already")
        self.held.add(lock)
        try:
            yield
        finally:
            self.held.remove(lock)

    def _put(self, path: str, data: bytes, mode: int) -> None:
        _want_path("write", path)
        self._files[path] = _File(data, mode, inode=next(self._numbers), changed=next(self._numbers))

    def _below(self, folder: str) -> set[str]:
        start = folder.rstrip("/") + "/"
        paths = (each for each in (*self._files, *self._folders) if each.startswith(start) and each != start)
        return {each[len(start) :].partition("/")[0] for each in paths}


def _want_path(verb: str, path: str) -> None:
    """Refuse a path that no file can have: with a NUL, or one that cannot be encoded."""
    try:
        possible = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise _failure(verb, ascii(path), errno.EINVAL)


def _failure(verb: str, path: str, number: int) -> IoFailure:
    failure = NotAFile if number in (errno.EISDIR, errno.ELOOP) else IoFailure
    return failure(f"cannot {verb} {path}: {os.strerror(number)}", errno=number)
