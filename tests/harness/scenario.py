"""What the tests of real runtimes share: alone with our executables, nothing left behind, a page fetched."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness import ours
from tests.harness.cache import cache_directory
from tests.harness.privatehost import PrivateHost

#: Programs of the CNI project's own plugins that ours replace, or that a runtime might start instead of ours.
_REFERENCE = "bandwidth bridge dhcp firewall host-device host-local ipvlan loopback macvlan portmap ptp sbr static tuning vlan vrf"
#: Everywhere one of the runtimes looks for plugins, and where the tests keep the reference suite for comparisons.
_SEARCHED = ("/opt", "/usr/lib/cni", "/usr/libexec", "/usr/local", "/home/linuxbrew")


def leave_only_ours(host: PrivateHost) -> None:
    """Install our executables, and hide the reference suite that the benchmark keeps among the tools."""
    tools = os.path.join(cache_directory(), "tools")
    for name in os.listdir(tools) if os.path.isdir(tools) else ():
        if name.startswith("reference-plugins-") and os.path.isdir(os.path.join(tools, name)):
            host.run(["mount", "-t", "tmpfs", "-o", "mode=755", "hidden", os.path.join(tools, name)])
    ours.install(host)


def strangers(host: PrivateHost) -> list[str]:
    """Return the paths, inside the host, of executables named like a reference plugin that are not ours."""
    names = [part for name in _REFERENCE.split() for part in ("-o", "-name", name)][1:]
    places = [*_SEARCHED, os.path.join(cache_directory(), "tools")]
    search = ["find", *places, "-type", "f", "-executable", "(", *names, ")"]
    found = host.run(search, check=False).stdout.splitlines()
    return sorted(path for path in found if os.path.dirname(path) not in (ours.BIN, *_OUR_SOURCES))


_OUR_SOURCES = tuple(entry.path for entry in os.scandir(f"{ours.ROOT}/plugins") if entry.is_dir())


@contextmanager
def leaves_nothing(host: PrivateHost) -> Iterator[None]:
    """Assert that links, addresses, routes, rules, namespaces, settings, leases, names and files are as before, and no plugin runs.

    What a network makes once and keeps (its bridge, its chains) must be there: use the network once before.
    """
    before = host.snapshot(ignore=ours.STAYS)
    yield
    left = host.snapshot(ignore=ours.STAYS).diff(before)
    left += [f"process: {command}" for command in host.processes().values() if f"{ours.BIN}/" in command]
    assert not left, "left behind:\n" + "\n".join(left)


def fetch(host: PrivateHost, url: str, *, netns: str | None = None, patience: float = 5) -> str | None:
    """Return the page at `url` as seen from a namespace; None when there is still none after `patience` seconds.

    `patience` 0 asks once: for a page that must not be there.
    """
    deadline = time.monotonic() + patience
    argv = ["curl", "--silent", "--show-error", "--globoff", "--max-time", "2", url]
    while (done := host.run(argv, netns=netns, check=False)).returncode != 0:
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.05)
    return done.stdout
