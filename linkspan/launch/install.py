"""Writing our executables into a CNI directory, and removing them.

A foreign file in the place of one of ours is refused, or with `replace` kept beside it under `KEPT` and
restored by `uninstall`. Every file appears by rename, complete or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from linkspan import paths
from linkspan.call.plugin import ALIASES, MODULES
from linkspan.host.linux.executables import is_ours

#: Appended to the name of a file that was replaced.
KEPT = ".before-linkspan"


class Refused(Exception):
    """An installation that would destroy something. The message says what, and what to do."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was done to one path: "wrote", "kept", "removed", "put back"."""

    what: str
    path: str


def install(bin_dir: str, launchers: Mapping[str, bytes], *, replace: bool = False) -> list[Done]:
    """Write every executable and alias into `bin_dir`.

    Raises Refused, before anything is written, and OSError.
    """
    refuse_foreign(foreign_executables(bin_dir), replace=replace)
    os.makedirs(bin_dir, exist_ok=True)
    done: list[Done] = []
    for cni_type, executable in launchers.items():
        done += _keep_original(f"{bin_dir}/{cni_type}", ours=is_ours(f"{bin_dir}/{cni_type}"))
        _write(f"{bin_dir}/{cni_type}", executable, 0o755)
        done.append(Done("wrote", f"{bin_dir}/{cni_type}"))
    for alias, cni_type in ALIASES.items():
        done += _keep_original(f"{bin_dir}/{alias}", ours=is_ours(f"{bin_dir}/{alias}"))
        _link(f"{bin_dir}/{alias}", cni_type)
        done.append(Done("wrote", f"{bin_dir}/{alias} -> {cni_type}"))
    return done


def foreign_executables(bin_dir: str) -> list[str]:
    """The files in the places of our executables that are not ours."""
    places = [f"{bin_dir}/{name}" for name in (*MODULES, *ALIASES)]
    return [path for path in places if os.path.lexists(path) and not is_ours(path)]


def uninstall(bin_dir: str) -> list[Done]:
    """Remove our executables from `bin_dir` and restore what they had replaced.

    Foreign ones stay. Raises OSError.
    """
    places = [f"{bin_dir}/{name}" for name in (*ALIASES, *MODULES)]
    return [each for path in places for each in _restore(path, ours=is_ours(path))]


def sample_lists() -> dict[str, str]:
    """The sample network lists that travel with linkspan: name -> path."""
    library = paths.library_dir()
    folders = (f"{library}/linkspan/cni-conf", f"{library}/cni-conf")
    folder = next(each for each in folders if os.path.isdir(each))
    files = sorted(each for each in os.listdir(folder) if each.endswith(".conflist"))
    return {each.removesuffix(".conflist"): f"{folder}/{each}" for each in files}


def install_lists(conf_dir: str, names: Iterable[str], *, replace: bool = False) -> list[Done]:
    """Copy sample lists into a runtime's configuration directory.

    Raises Refused, before anything is written, and OSError.
    """
    changed = _changed_lists(conf_dir, names)
    refuse_foreign(foreign_lists(conf_dir, names), replace=replace)
    os.makedirs(conf_dir, exist_ok=True)
    done: list[Done] = []
    for path, data in changed.items():
        done += _keep_original(path, ours=False)
        _write(path, data, 0o644)
        done.append(Done("wrote", path))
    return done


def foreign_lists(conf_dir: str, names: Iterable[str]) -> list[str]:
    """The files in the places of sample lists that differ from them."""
    return [path for path in _changed_lists(conf_dir, names) if os.path.lexists(path)]


def _changed_lists(conf_dir: str, names: Iterable[str]) -> dict[str, bytes]:
    known = sample_lists()
    chosen = {f"{conf_dir}/{name}.conflist": _read(known[name]) for name in names}
    return {path: data for path, data in chosen.items() if _read(path) != data}


def uninstall_lists(conf_dir: str) -> list[Done]:
    """Remove the sample lists that are as they were written, and restore what they had replaced.

    Raises OSError.
    """
    return [
        each
        for name, source in sample_lists().items()
        for path in (f"{conf_dir}/{name}.conflist",)
        for each in _restore(path, ours=_read(path) == _read(source))
    ]


def refuse_foreign(foreign: Sequence[str], *, replace: bool) -> None:
    """Raise Refused for foreign files, unless `replace`; and always if an original is kept already."""
    if foreign and not replace:
        raise Refused(
            f"{', '.join(foreign)}: not linkspan's, and not overwritten; "
            f"--replace keeps each as NAME{KEPT} and installs ours"
        )
    kept = [path for path in foreign if os.path.lexists(path + KEPT)]
    if kept:
        raise Refused(
            f"{', '.join(path + KEPT for path in kept)}: "
            "an earlier original is kept there; move it away first"
        )


def _keep_original(path: str, *, ours: bool) -> list[Done]:
    if ours or not os.path.lexists(path):
        return []
    os.rename(path, path + KEPT)
    return [Done("kept", path + KEPT)]


def _restore(path: str, *, ours: bool) -> list[Done]:
    done: list[Done] = []
    if ours and os.path.lexists(path):
        os.unlink(path)
        done.append(Done("removed", path))
    if os.path.lexists(path + KEPT) and not os.path.lexists(path):
        os.rename(path + KEPT, path)
        done.append(Done("put back", path))
    return done


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _write(path: str, data: bytes, mode: int) -> None:
    temporary = f"{path}.{os.getpid()}~"
    descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        os.chmod(temporary, mode)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _link(path: str, target: str) -> None:
    temporary = f"{path}.{os.getpid()}~"
    os.symlink(target, temporary)
    os.rename(temporary, path)
