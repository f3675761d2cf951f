"""Other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that ended: its exit status and what it wrote to stdout. stderr went to the caller's."""

    status: int
    stdout: bytes


class Processes(Protocol):
    """Other programs."""

    def find(self, name: str, folders: Sequence[str]) -> str | None:
        """The first regular file of that name, symbolic links followed, in the folders in order."""

    def own_type(self, path: str) -> str:
        """The CNI type of an executable of this very installation, "" for any other program."""

    def run(
        self, argv: Sequence[str], *, stdin: bytes, env: Mapping[str, str], cwd: str, merged: bool = False
    ) -> Finished:
        """Run to its end. A busy executable (ETXTBSY) is retried; an absent one raises ToolMissing.

        With `merged` the program's stderr is part of its stdout.
        """
