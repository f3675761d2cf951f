"""The two forms of an executable: a Python script, and a native program.

Either knows its interpreter, its library and its CNI type, and little else.
"""

from __future__ import annotations

import json
import sys

from linkspan import STANDALONE, paths
from linkspan.call.plugin import MODULES
from linkspan.host.linux.executables import MARKER
from linkspan.launch import native, protocol

#: The longest interpreter line that Linux accepts (BINPRM_BUF_SIZE less `#!`, the newline and a terminating
#: zero).
_SHEBANG = 251
#: What an executable answers when its library was removed without it.
_GONE = (
    '{{"cniVersion": "1.1.0", "code": 199, "msg": "linkspan is no longer installed in {library}", '
    '"details": "install it again, or remove its executables with `linkspan uninstall`"}}'
)


def python_launchers() -> dict[str, bytes]:
    """CNI type -> the executable as a Python script."""
    library = paths.library_dir()
    return {each: python_launcher(each, sys.executable, library).encode() for each in MODULES}


def native_launchers() -> dict[str, bytes]:
    """CNI type -> the executable as a native program (linkspan.launch.native).

    Raises CannotCompile, OSError.
    """
    library = paths.library_dir()
    return {each: native.compiled(native_constants(each, sys.executable, library)) for each in MODULES}


def python_launcher(cni_type: str, python: str, library: str) -> str:
    """The text of an executable. For -I and -S see linkspan.launch.interpreter."""
    program = _marked(cni_type, library)
    if len(python) < _SHEBANG and not any(each.isspace() for each in python):
        return f"#!{python} -IS\n{program}"
    quoted = "'" + python.replace("'", "'\\''") + "'"
    return f'#!/bin/sh\n""":"\nexec {quoted} -IS "$0"\n":"""\n{program}'


def native_constants(cni_type: str, python: str, library: str) -> dict[str, str | int]:
    """What launcher.c lists as defined in front of it, for one executable."""
    return {
        "TYPE": cni_type,
        "PYTHON": python,
        "IDENTITY": f"{library}/linkspan/launch/protocol.py",
        "PROTOCOL": protocol.PROTOCOL,
        "GREETING_US": round(protocol.GREETING_TIMEOUT * 1_000_000),
        "STDERR": protocol.STDERR,
        "NETNS": protocol.NETNS,
        "RUN_DIR": paths.RUN_DIR,
        "WORKERS": paths.WORKERS,
        "STANDALONE": STANDALONE,
        "PROGRAM": _marked(cni_type, library),
        "LOST": _program(library, "lost()"),
        "NO_PYTHON": json.dumps(
            {
                "cniVersion": "1.1.0",
                "code": 199,
                "msg": f"linkspan cannot start its interpreter {python}",
                "details": "does it still exist? install linkspan again",
            }
        ),
    }


def _marked(cni_type: str, library: str) -> str:
    marker = f"{MARKER.decode()}{cni_type} {library}\n"
    return marker + _program(library, f"main({cni_type!r})")


def _program(library: str, call: str) -> str:
    """Python that makes one call of linkspan.launch.launcher, whatever the interpreter can import."""
    return (
        "import sys\n\n"
        f"sys.path.append({library!r})\n\n"
        "try:\n"
        f"    from linkspan.launch.launcher import {call.partition('(')[0]}\n"
        "except ImportError:\n"
        f"    sys.exit(print({_GONE.format(library=library)!r}) or 1)\n\n"
        f"{call}\n"
    )
