"""How an executable of linkspan is recognised: by a line of text in it that names its CNI type and its
library.
"""

from __future__ import annotations

import os

from linkspan import paths

#: Begins the line: `# linkspan launcher: <type> <library>`.
MARKER = b"# linkspan launcher: "
#: How far into a file that line is searched for, in bytes. A native launcher (launcher.c) has it among its
#: constants.
MARKER_WITHIN = 1 << 20


def type_of_executable(path: str) -> str:
    """The CNI type that the executable at `path` (symbolic links followed) runs out of *this* library, or "".

    The executables of a checkout are alike: there "-" stands for the file's own name, and the library is a
    path relative to the file's folder.
    """
    real = os.path.realpath(path)
    try:
        with open(real, "rb") as file:
            _, _, found = file.read(MARKER_WITHIN).partition(MARKER)
    except OSError:
        return ""
    cni_type, _, library = os.fsdecode(found.partition(b"\n")[0]).partition(" ")
    if not library or os.path.realpath(os.path.join(os.path.dirname(real), library)) != paths.library_dir():
        return ""
    return os.path.basename(real) if cni_type == "-" else cni_type
