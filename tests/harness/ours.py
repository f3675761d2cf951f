"""Our own executables in a private host: installed, with or without a resident, and what may stay after a DEL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from linkspan.launch import forms
from linkspan.launch import install as installation
from tests.harness.privatehost import PrivateHost

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = "/opt/cni/bin"
LISTS = ("bridge", "custom", "dual-stack", "internal", "l2", "none")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: The `linkspan` command.
COMMAND = (sys.executable, "-m", "linkspan.cli.main")
#: Neither workers nor a supervisor, which would restore what a test removes.
STANDALONE = {"PATH": PATH, "LINKSPAN_STANDALONE": "alone"}
RESIDENT = {"PATH": PATH}

#: What a running resident or name server keeps for itself, and what outlives the last attachment by design: the allocator's
#: cursor, its memory of what was given back and its lock. Everything else must be as it was after one ADD and DEL.
STAYS = (
    "*resident.*", "*dns.sock*", "*dns.lock*", "*dns.log*", "*ports.sock*", "*ports.lock*", "*ports.log*",
    "*/locks/*", "*/deferred/ *", "*last_reserved_ip.*", "*/released/*", "*/swept/*", "*/removed", "*/xtables.lock*",
)  # fmt: skip


def conflist(name: str) -> dict[str, Any]:
    """One of the sample lists of cni-conf."""
    with open(f"{ROOT}/cni-conf/{name}.conflist", encoding="utf-8") as file:
        loaded: dict[str, Any] = json.load(file)
    return loaded


def conflist_for_nerdctl(name: str) -> dict[str, Any]:
    """The same without its back ends: then rules are iptables', which nerdctl reads."""
    loaded = conflist(name)
    for plugin in loaded["plugins"]:
        plugin.pop("backend", None)
        plugin.pop("ipMasqBackend", None)
    return loaded


def deferred(host: PrivateHost) -> list[str]:
    """The files of DELs that wait for their containers to end."""
    found = host.run(["find", "/run/linkspan", "-path", "*/deferred/*"], check=False).stdout
    return sorted(found.split())


def linkspan(host: PrivateHost, *arguments: str) -> str:
    """Run the `linkspan` command inside the host and return what it printed."""
    return str(host.run([*COMMAND, *arguments]).stdout)


@cache
def launchers(form: str) -> Mapping[str, bytes]:
    """Our executables, compiled once: "native" as a host with a compiler gets them, or "python"."""
    return forms.native_launchers() if form == "native" else forms.python_launchers()


def install(host: PrivateHost, launcher: str = "native") -> None:
    """Write our executables into the host's CNI directory, as `linkspan install` does."""
    installation.install(host.path(BIN), launchers(launcher))


def ordinary_user(host: PrivateHost) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`linkspan` run by a user who may not be able to read the checkout where it is: in root's home, say."""
    host.run(["mkdir", "-p", "/opt/checkout"])
    host.run(["mount", "--bind", ROOT, "/opt/checkout"])
    inside = [each for each in sys.path if each.startswith(ROOT)]
    path = ":".join(each.replace(ROOT, "/opt/checkout", 1) for each in inside)
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", os.path.realpath(sys.executable)]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*argv, "-m", "linkspan.cli.main", *arguments]
        return host.run(command, env={**os.environ, "PYTHONPATH": path}, check=False)

    return run


@contextmanager
def resident(host: PrivateHost) -> Iterator[None]:
    """A resident in the host."""
    linkspan(host, "resident", "start")
    try:
        yield
    finally:
        linkspan(host, "resident", "stop")
