"""The long-lived processes of a private host: which there are, and the end of some."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

from tests.harness.patience import until
from tests.harness.privatehost import PrivateHost

SUPERVISOR, WORKER, NAMES, PORTS = "linkspan", "linkspan worker", "linkspan dns", "linkspan ports"


def services(host: PrivateHost) -> dict[int, str]:
    """Process id -> name of each of ours, as ps shows it."""
    found = {pid: _name(pid) for pid in host.processes()}
    return {pid: name for pid, name in found.items() if name.partition(" ")[0] == SUPERVISOR}


def pid_of(host: PrivateHost, name: str) -> int:
    """The one process of a name; 0 if there is none, or more than one."""
    found = [pid for pid, each in services(host).items() if each == name]
    return found[0] if len(found) == 1 else 0


def count(host: PrivateHost) -> Counter[str]:
    """How many there are of each name."""
    return Counter(services(host).values())


def kill(host: PrivateHost, *names: str, number: signal.Signals = signal.SIGKILL) -> None:
    """End the processes of these names at once."""
    pids = [pid_of(host, name) for name in names]
    assert 0 not in pids, f"there is not one process of each of {names}"
    for pid in pids:
        os.kill(pid, number)


def seconds_until_back(host: PrivateHost, before: dict[str, int], patience: float = 10.0) -> float:
    """How long it takes until each of these names has one process, another than before."""
    begun = time.monotonic()
    until(
        lambda: all(pid_of(host, name) not in (0, pid) for name, pid in before.items()), "services", patience
    )
    return time.monotonic() - begun


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""
