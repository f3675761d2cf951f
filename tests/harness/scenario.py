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
#: Where runtimes look for plugins, and where the tests keep the reference suite. What lies elsewhere on the machine is never started.
_SEARCHED = (
    "/opt/cni/bin",
    "/usr/lib/cni",
    "/usr/libexec/cni",
    "/usr/local/lib/cni",
    "/usr/local/libexec/cni",
)


def leave_only_ours(host: PrivateHost) -> None:
    """Install our executables, and hide from the host every other plugin that a runtime might start."""
    for path in strangers(host):
        host.run(["mount", "--bind", "/dev/null", path])
    ours.install(host)


def strangers(host: PrivateHost) -> list[str]:
    """Return the paths, inside the host, of executables named like a reference plugin that are not ours."""
    names = [part for name in _REFERENCE.split() for part in ("-o", "-name", name)][1:]
    places = [*_SEARCHED, os.path.join(cache_directory(), "tools")]
    search = ["find", *places, "-type", "f", "-executable", "(", *names, ")"]
    found = host.run(search, check=False).stdout.splitlines()
    return sorted(path for path in found if os.path.dirname(path) != ours.BIN)


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
