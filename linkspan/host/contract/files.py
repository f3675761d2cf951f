"""Files and locks."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from linkspan.cni.model import Attachment


class Files(Protocol):
    """Paths are absolute. Every error but absence raises IoFailure, which names the path.

    Symbolic links in our own state are never followed.
    """

    def exists(self, path: str) -> bool:
        """Whether anything is there; a symbolic link counts, whatever it points to."""

    def read(self, path: str) -> bytes | None:
        """The content of a regular file; None if it is absent. Raises NotAFile if anything else is there."""

    def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """Replace a file as a whole, through a temporary file that is renamed. Makes its folders (0700)."""

    def create(self, path: str, data: bytes, *, mode: int = 0o600, temporary_in: str) -> bool:
        """Create a file completely or not at all: written in folder `temporary_in`, then linked.

        False if it exists.
        """

    def remove(self, path: str) -> bool:
        """Remove a file, and what a killed `write` of it has left. False if absent.

        Raises NotAFile for a directory.
        """

    def remove_folder(self, path: str) -> bool:
        """Remove an empty folder; False if it is absent or not empty."""

    def names(self, folder: str) -> tuple[str, ...]:
        """The sorted names in a folder; empty if it is absent."""

    def can_write(self, folder: str) -> bool:
        """Whether files can be created in a folder or, while that is absent, in its nearest parent."""

    def stamp(self, path: str) -> tuple[int, int] | None:
        """(inode, ctime in ns) of a file, or None if it is absent.

        It changes whenever the file is written, linked or replaced.
        """

    def make_folder(self, path: str, *, mode: int = 0o700) -> None:
        """Make a folder and its parents; one that exists stays as it is."""

    def lock(self, path: str, *, mode: int = 0o600) -> AbstractContextManager[None]:
        """Hold an exclusive flock(2) on a file, which is created if absent and stays.

        The kernel releases it if the process dies. Raises TryAgain if another process holds it for a minute.
        """

    def lock_attachment(self, plugin: str, attachment: Attachment) -> AbstractContextManager[None]:
        """Exclude other verbs of one plugin on one attachment.

        Programs that we run inherit the lock, so it is held until they end even if this process dies.
        Raises as `lock`.
        """
