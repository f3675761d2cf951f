"""How to recognize an executable of linkspan: by a line in it with its CNI type and its library."""

from __future__ import annotations

import errno
import os

from linkspan import paths
from linkspan.host.linux.errors import ABSENT, file_errors

#: Begins the line: `# linkspan launcher: <type> <library>`.
MARKER = b"# linkspan launcher: "
#: How far into a file that line is searched for, in bytes. A native launcher (launcher.c) has it among its
#: constants.
MARKER_WITHIN = 1 << 20
#: What is no executable of ours: nothing, a directory, or a file that only its owner may read.
_NOT_OURS = (*ABSENT, errno.ELOOP, errno.EISDIR, errno.EACCES)


def is_ours(path: str) -> bool:
    """Whether an executable of linkspan, of this library or of another, is at `path`."""
    try:
        with open(path, "rb") as file:
            return MARKER in file.read(MARKER_WITHIN)
    except OSError:
        return False


def type_of_executable(path: str) -> str:
    """The CNI type that the executable at `path` (symbolic links followed) runs out of *this* library, or "".

    The executables of a checkout are alike: there "-" stands for the file's own name, and the library is a
    path relative to the file's folder. Raises IoFailure.
    """
    real, found = os.path.realpath(path), b""
    with file_errors("read", path, absent=_NOT_OURS), open(real, "rb") as file:
        _, _, found = file.read(MARKER_WITHIN).partition(MARKER)
    cni_type, _, library = os.fsdecode(found.partition(b"\n")[0]).partition(" ")
    if not library or os.path.realpath(os.path.join(os.path.dirname(real), library)) != paths.library_dir():
        return ""
    return os.path.basename(real) if cni_type == "-" else cni_type
