"""How a command that fails tells why, and its exit status.

0 success, 1 failure, 2 usage, 3 not found, 4 conflict or in use, 5 needs root (docs/networks.md).
"""

from __future__ import annotations

import errno
from collections.abc import Iterable

from linkspan.cni.errors import CniError
from linkspan.host.linux.errors import NEEDS_ROOT
from linkspan.runtime.errors import CommandError, NeedsRoot


class Failed(Exception):
    """A command that has failed for one or more reasons. Each is printed; the exit status is theirs,
    or 1 if they differ.
    """

    def __init__(self, reasons: Iterable[Exception]) -> None:
        super().__init__()
        self.reasons = tuple(reasons)

    @property
    def status(self) -> int:
        """The exit status."""
        found = {described(each).status for each in self.reasons}
        return found.pop() if len(found) == 1 else 1

    def __str__(self) -> str:
        return "\n".join(f"error: {described(each)}" for each in self.reasons)


def described(error: Exception) -> CommandError:
    """An error of any layer as the one that a person sees."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, CniError):
        refused = isinstance(error.__cause__, OSError) and error.__cause__.errno in (
            errno.EACCES,
            errno.EPERM,
        )
        if refused or error.details == NEEDS_ROOT:
            return NeedsRoot(error.msg, fix="run it as root")
        return CommandError(error.msg, fix=error.details)
    if isinstance(error, PermissionError):
        return NeedsRoot(f"{error.filename}: {error.strerror}", fix="run it as root")
    if isinstance(error, OSError):
        return CommandError(f"{error.filename or 'the system'}: {error.strerror}")
    return CommandError(
        f"internal error: {type(error).__name__}: {error}", fix="repeat it with --debug and report it"
    )
