"""Files and locks."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from linkspan.cni.model import Attachment


class Files(Protocol):
    """Files and locks. Paths are absolute. Errors other than "absent" raise IoFailure naming the path."""

    def exists(self, path: str) -> bool:
        """Whether a file, folder or anything else is there; a link counts, whatever it leads to."""

    def read(self, path: str) -> bytes | None:
        """The content of a regular file, or None if absent. Raises NotAFile if anything else is there.

        Symbolic links are not followed below our own folders.
        """

    def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """Replace a file whole: written to a temporary file, then renamed. Parent folders are made (0700)."""

    def create(self, path: str, data: bytes, *, mode: int = 0o600, aside: str) -> bool:
        """Make a file appear complete or not at all: written in folder `aside`, then linked. False if `path` exists."""

    def remove(self, path: str) -> bool:
        """Remove a file, and what a killed `write` of it has left. False if absent.

        Raises NotAFile for a directory.
        """

    def remove_folder(self, path: str) -> bool:
        """Remove an empty folder; False if it is absent or not empty."""

    def names(self, folder: str) -> tuple[str, ...]:
        """The sorted names in a folder; empty if it is absent."""

    def can_write(self, folder: str) -> bool:
        """Whether files could be made in a folder, or, while it is absent, in the nearest one above it that is there."""

    def stamp(self, path: str) -> tuple[int, int] | None:
        """(inode, ctime in ns) of a file, or None if absent: changes whenever the file is written, linked or replaced."""

    def make_folder(self, path: str, *, mode: int = 0o700) -> None:
        """Make a folder and its parents; one that is there stays as it is."""

    def lock(self, path: str, *, mode: int = 0o600) -> AbstractContextManager[None]:
        """Hold an exclusive flock(2) on a file that is made if absent and stays. The kernel frees it if we die."""

    def lock_attachment(self, plugin: str, attachment: Attachment) -> AbstractContextManager[None]:
        """Exclude other verbs of one plugin on one attachment. Inherited by programs we start, so it outlives our death."""
