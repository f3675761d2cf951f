"""The cache of what the tests fetch: each thing is there complete or not at all, and every checkout uses it.

The cache is `$LINKSPAN_CACHE`, else `$XDG_CACHE_HOME/linkspan`, else `~/.cache/linkspan`; each thing has a
directory `tools/<name>-<version>` in it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager


class Unavailable(Exception):
    """Something that tests use cannot be fetched here; the text says why in one line."""


def cache_directory() -> str:
    """Return the directory under which fetched things are kept; it may not exist yet."""
    if chosen := os.environ.get("LINKSPAN_CACHE"):
        return os.path.abspath(chosen)
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "linkspan")


def provide(name: str, version: str, build: Callable[[str], None], *, fetch: bool) -> str:
    """Return the directory of a thing, calling `build(empty directory)` first if there is none.

    One caller builds while others wait. Raises Unavailable if it is absent and cannot or may not be built.
    """
    tools = os.path.join(cache_directory(), "tools")
    final = os.path.join(tools, f"{name}-{version}")
    if os.path.isdir(final):
        return final
    if not fetch:
        raise Unavailable(f"{name} {version} has not been fetched; run: python -m tests.harness.tools")
    os.makedirs(tools, exist_ok=True)
    with _locked(final + ".lock"):
        if not os.path.isdir(final):
            work = tempfile.mkdtemp(prefix=f".{name}-", dir=tools)
            try:
                os.mkdir(os.path.join(work, "out"))
                build(os.path.join(work, "out"))
                os.rename(os.path.join(work, "out"), final)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return final


@contextmanager
def _locked(path: str) -> Iterator[None]:
    with open(path, "a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str | None = None) -> str:
    """Run a program for up to twenty minutes; return its stdout, or raise Unavailable with its last words."""
    try:
        done = subprocess.run(
            argv,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
    except FileNotFoundError as missing:
        raise Unavailable(f"there is no {argv[0]} here") from missing
    if done.returncode != 0:
        said = " / ".join((done.stderr or done.stdout).strip().splitlines()[-2:])
        raise Unavailable(f"{' '.join(argv[:3])}: {said}")
    return done.stdout
