"""Packages of this Debian, unpacked instead of installed, so that no service starts and nothing changes."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence

from tests.harness.cache import Unavailable, provide, run

_INSTALLED = re.compile(r"^Inst (\S+) ", re.M)
_MERGED = ("bin", "sbin", "lib", "lib64")


def unpacked(package: str, *recommended: str, without: str = "", fetch: bool) -> str:
    """Return the root below which a package is unpacked, with every package it needs and this machine lacks.

    `recommended` are further packages, unpacked into the same root; `without` is one that another can
    replace. The versions are this distribution's.
    """
    wanted = [package, *recommended, *([f"{without}-"] if without else [])]

    def build(target: str) -> None:
        with tempfile.TemporaryDirectory(prefix="linkspan-deb-") as work:
            try:
                _download(wanted, work)
            except Unavailable:  # an image without package lists, or with lists older than the archive
                run(["apt-get", "--quiet=2", "update"])
                _download(wanted, work)
            for archive in sorted(os.listdir(work)):
                run(["dpkg-deb", "--extract", os.path.join(work, archive), target])
        _merge(target)

    return provide(package, f"{_distribution()}-complete", build, fetch=fetch)


def _download(packages: Sequence[str], directory: str) -> None:
    """Fetch the archives of what `apt-get install` would install for these arguments, and of the packages."""
    planned = run(["apt-get", "--simulate", "--no-install-recommends", "install", *packages])
    wanted = sorted({*(each for each in packages if each[-1] != "-"), *_INSTALLED.findall(planned)})
    run(["apt-get", "--quiet=2", "download", *wanted], cwd=directory)


def _merge(target: str) -> None:
    """Move what was unpacked in /lib into /usr/lib, and so on, if this machine's /lib is a link to it."""
    for top in _MERGED:
        source = os.path.join(target, top)
        if os.path.isdir(source) and os.path.islink(f"/{top}"):
            shutil.copytree(source, os.path.join(target, "usr", top), symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(source)


def _distribution() -> str:
    """Return for example `debian12`."""
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            facts = dict(line.rstrip().replace('"', "").split("=", 1) for line in file if "=" in line)
    except OSError:
        facts = {}
    return facts.get("ID", "linux") + facts.get("VERSION_ID", "")
