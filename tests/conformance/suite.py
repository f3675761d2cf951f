"""A suite of plugins under test: executables found by role, and the few facts a case must know about them.

A manifest is a JSON file:

    name       what the scoreboard calls the suite
    roles      role -> type, the executable's name in the plugin directory
    backends   feature ("masquerade", "portmap", "firewall") -> the values of its backend key; cases on the feature run with each
    install    command that writes the executables into {dir}; without it they are copied from the directory given
    prepare    commands to run in each private host before a case, such as one that starts a daemon
    unattended  commands that end what restores rules by itself, before a case removes some
    stays      shell patterns of snapshot lines that may differ after a DEL: cursors, lock files and the like

`{dir}` is the plugin directory, `{python}` the interpreter that runs the suite. A role without an executable is left out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


class NoSuite(Exception):
    """The plugins cannot be had; the text says why."""


@dataclass(frozen=True)
class Suite:
    """Role -> absolute path of its executable, and the manifest's other facts."""

    name: str
    executables: Mapping[str, str]
    backends: Mapping[str, tuple[str, ...]]
    prepare: tuple[tuple[str, ...], ...]
    unattended: tuple[tuple[str, ...], ...]
    stays: tuple[str, ...]

    def type_of(self, role: str) -> str:
        """The plugin type a configuration names to get this role."""
        return os.path.basename(self.executables[role])

    @property
    def path(self) -> tuple[str, ...]:
        """The directories for CNI_PATH, the IPAM plugin's first."""
        ordered = sorted(self.executables.items(), key=lambda each: each[0] != "ipam")
        return tuple(dict.fromkeys(os.path.dirname(path) for _, path in ordered))

    def with_roles_of(self, other: Suite, *roles: str) -> Suite:
        """This suite, with some roles taken from another."""
        borrowed = {role: other.executables[role] for role in roles if role in other.executables}
        return replace(
            self,
            name=f"{self.name}+{other.name}",
            executables={**self.executables, **borrowed},
            prepare=tuple(dict.fromkeys((*self.prepare, *other.prepare))),
            unattended=tuple(dict.fromkeys((*self.unattended, *other.unattended))),
            stays=(*self.stays, *other.stays),
        )


def manifest_for(directory: str) -> str:
    """The manifest of a plugin directory: its own `conformance.json`, else the one with the usual names."""
    own = os.path.join(directory, "conformance.json")
    return own if os.path.exists(own) else os.path.join(HERE, "manifests", "usual.json")


def load(manifest: str, target: str, source: str | None = None) -> Suite:
    """Put the executables into directory `target` (copied from `source`, or by the manifest's install command) and describe them.

    A copy, because a private host hides the machine's own /opt/cni and /usr/lib/cni. Raises NoSuite.
    """
    with open(manifest, encoding="utf-8") as file:
        facts: dict[str, Any] = json.load(file)
    words = {"dir": target, "python": sys.executable}
    if source is not None:
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    elif "install" in facts:
        _run(_filled(facts["install"], words))
    executables = {role: os.path.join(target, name) for role, name in facts["roles"].items()}
    found = {role: path for role, path in executables.items() if os.access(path, os.X_OK)}
    if not found:
        raise NoSuite(f"{source or target} holds none of {', '.join(sorted(facts['roles'].values()))}")
    return Suite(
        name=facts["name"],
        executables=found,
        backends={feature: tuple(values) for feature, values in facts.get("backends", {}).items()},
        prepare=tuple(_filled(each, words) for each in facts.get("prepare", ())),
        unattended=tuple(_filled(each, words) for each in facts.get("unattended", ())),
        stays=tuple(facts.get("stays", ())),
    )


def _filled(argv: Sequence[str], words: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(each.format(**words) for each in argv)


def _run(argv: Sequence[str]) -> None:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoSuite(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
