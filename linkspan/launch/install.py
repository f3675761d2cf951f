"""Writing our executables into a CNI directory, and taking them back.

An executable, a Python script or a native program, knows its interpreter, its library and its CNI type and little else. What stood in the place of one of ours is
refused, or with `replace` kept beside it under `KEPT` and put back by `uninstall`. Everything appears by rename, whole or not at all.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from linkspan import STANDALONE, paths
from linkspan.call.executables import MARKER, MARKER_WITHIN
from linkspan.call.plugin import ALIASES, MODULES
from linkspan.launch import native, protocol

#: Appended to the name of what had to make place.
KEPT = ".before-linkspan"
#: The longest interpreter line that Linux takes (BINPRM_BUF_SIZE less `#!`, the newline and a terminating zero).
_SHEBANG = 251
#: What an executable answers when its library was removed without it.
_GONE = (
    '{{"cniVersion": "1.1.0", "code": 199, "msg": "linkspan is no longer installed in {library}", '
    '"details": "install it again, or remove its executables with `linkspan uninstall`"}}'
)


class Refused(Exception):
    """An installation that would destroy something. The message says what, and what to do."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was done to one path, for the person who asked: "wrote", "kept", "removed", "put back"."""

    what: str
    path: str


def python_launchers() -> dict[str, bytes]:
    """CNI type -> the executable as a Python script."""
    library = paths.library_dir()
    return {each: python_launcher(each, sys.executable, library).encode() for each in MODULES}


def native_launchers() -> dict[str, bytes]:
    """CNI type -> the executable as a native program (linkspan.launch.native). Raises CannotCompile, OSError."""
    library = paths.library_dir()
    return {each: native.compiled(native_constants(each, sys.executable, library)) for each in MODULES}


def python_launcher(cni_type: str, python: str, library: str) -> str:
    """The text of an executable. -I keeps the caller's PYTHON* away, -S spares site-packages (linkspan.launch.launcher)."""
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
                "details": "is it still there? install linkspan again",
            }
        ),
    }


def _marked(cni_type: str, library: str) -> str:
    marker = f"{MARKER.decode()}{cni_type} {library}\n"
    return marker + _program(library, f"main({cni_type!r})")


def _program(library: str, call: str) -> str:
    """Python that makes one call of linkspan.launch.launcher and needs nothing but the interpreter it runs in."""
    return (
        "import sys\n\n"
        f"sys.path.append({library!r})\n\n"
        "try:\n"
        f"    from linkspan.launch.launcher import {call.partition('(')[0]}\n"
        "except ImportError:\n"
        f"    sys.exit(print({_GONE.format(library=library)!r}) or 1)\n\n"
        f"{call}\n"
    )


def install(bin_dir: str, launchers: Mapping[str, bytes], *, replace: bool = False) -> list[Done]:
    """Write every executable and alias into `bin_dir`. Raises Refused, before anything is written, if one is not ours; OSError."""
    refuse_strangers(executables_in_the_way(bin_dir), replace=replace)
    os.makedirs(bin_dir, exist_ok=True)
    done: list[Done] = []
    for cni_type, executable in launchers.items():
        done += _keep_what_was(f"{bin_dir}/{cni_type}", ours=_is_ours(f"{bin_dir}/{cni_type}"))
        _write(f"{bin_dir}/{cni_type}", executable, 0o755)
        done.append(Done("wrote", f"{bin_dir}/{cni_type}"))
    for alias, cni_type in ALIASES.items():
        done += _keep_what_was(f"{bin_dir}/{alias}", ours=_is_ours(f"{bin_dir}/{alias}"))
        _link(f"{bin_dir}/{alias}", cni_type)
        done.append(Done("wrote", f"{bin_dir}/{alias} -> {cni_type}"))
    return done


def executables_in_the_way(bin_dir: str) -> list[str]:
    """What stands in the place of one of ours and is not ours."""
    paths = [f"{bin_dir}/{name}" for name in (*MODULES, *ALIASES)]
    return [path for path in paths if _present(path) and not _is_ours(path)]


def uninstall(bin_dir: str) -> list[Done]:
    """Remove our executables from `bin_dir` and put back what they had replaced. Strangers stay. Raises OSError."""
    paths = [f"{bin_dir}/{name}" for name in (*ALIASES, *MODULES)]
    return [each for path in paths for each in _take_back(path, ours=_is_ours(path))]


def sample_lists() -> dict[str, str]:
    """The sample network lists that travel with linkspan: name -> path."""
    library = paths.library_dir()
    folders = (f"{library}/linkspan/cni-conf", f"{library}/cni-conf")
    folder = next(each for each in folders if os.path.isdir(each))
    files = sorted(each for each in os.listdir(folder) if each.endswith(".conflist"))
    return {each.removesuffix(".conflist"): f"{folder}/{each}" for each in files}


def install_lists(conf_dir: str, names: Iterable[str], *, replace: bool = False) -> list[Done]:
    """Copy sample lists into a runtime's configuration directory. Raises Refused, before anything is written, and OSError."""
    changed = _changed_lists(conf_dir, names)
    refuse_strangers(lists_in_the_way(conf_dir, names), replace=replace)
    os.makedirs(conf_dir, exist_ok=True)
    done: list[Done] = []
    for path, data in changed.items():
        done += _keep_what_was(path, ours=False)
        _write(path, data, 0o644)
        done.append(Done("wrote", path))
    return done


def lists_in_the_way(conf_dir: str, names: Iterable[str]) -> list[str]:
    """What stands in the place of a sample list and differs from it."""
    return [path for path in _changed_lists(conf_dir, names) if _present(path)]


def _changed_lists(conf_dir: str, names: Iterable[str]) -> dict[str, bytes]:
    known = sample_lists()
    chosen = {f"{conf_dir}/{name}.conflist": _read(known[name]) for name in names}
    return {path: data for path, data in chosen.items() if _read(path) != data}


def uninstall_lists(conf_dir: str) -> list[Done]:
    """Remove the sample lists that are as they were written, and put back what they had replaced. Raises OSError."""
    return [
        each
        for name, source in sample_lists().items()
        for path in (f"{conf_dir}/{name}.conflist",)
        for each in _take_back(path, ours=_read(path) == _read(source))
    ]


def _is_ours(path: str) -> bool:
    """Whether a launcher of linkspan stands there: of this library or, after an upgrade, of another."""
    try:
        with open(path, "rb") as file:
            return MARKER in file.read(MARKER_WITHIN)
    except OSError:
        return False


def refuse_strangers(strangers: Sequence[str], *, replace: bool) -> None:
    """Raise Refused for what is in the way, unless `replace`; and always where an original is kept already."""
    if strangers and not replace:
        raise Refused(
            f"{', '.join(strangers)}: not linkspan's, and not overwritten; --replace keeps each as NAME{KEPT} and installs ours"
        )
    kept = [path for path in strangers if _present(path + KEPT)]
    if kept:
        raise Refused(
            f"{', '.join(path + KEPT for path in kept)}: an earlier original is kept there; move it away first"
        )


def _keep_what_was(path: str, *, ours: bool) -> list[Done]:
    if ours or not _present(path):
        return []
    os.rename(path, path + KEPT)
    return [Done("kept", path + KEPT)]


def _take_back(path: str, *, ours: bool) -> list[Done]:
    done: list[Done] = []
    if ours and _present(path):
        os.unlink(path)
        done.append(Done("removed", path))
    if _present(path + KEPT) and not _present(path):
        os.rename(path + KEPT, path)
        done.append(Done("put back", path))
    return done


def _present(path: str) -> bool:
    return os.path.lexists(path)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _write(path: str, data: bytes, mode: int) -> None:
    aside = f"{path}.{os.getpid()}~"
    descriptor = os.open(aside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        os.chmod(aside, mode)
        os.rename(aside, path)
    except BaseException:
        os.unlink(aside)
        raise


def _link(path: str, target: str) -> None:
    aside = f"{path}.{os.getpid()}~"
    os.symlink(target, aside)
    os.rename(aside, path)
