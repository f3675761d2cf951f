"""Leaving the process that started us behind, because we must outlive it.

A process that is merely forked from a plugin keeps the mounts of the runtime that called it, and dies with
that runtime's control group. If PID 1 shares our network namespace, this is the host: there we move to PID
1's mount namespace and to the root control group, or let systemd start us if PID 1 is systemd. In a network
namespace of its own (a host made of namespaces) we stay where our caller is.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from linkspan.paths import OWN_NETNS

_CLONE_NEWNS = 0x00020000  # linux/sched.h
_INIT_NETNS, _INIT_MOUNTS, _OWN_MOUNTS = "/proc/1/ns/net", "/proc/1/ns/mnt", "/proc/self/ns/mnt"
_ROOT_CGROUPS = ("/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/unified/cgroup.procs")
_SYSTEMD_RUN = "/usr/bin/systemd-run"
_SYSTEMD_PATIENCE = 10.0
"""Seconds for systemd to take a unit."""


def shares_network_with_init() -> bool:
    """Whether PID 1 is in our network namespace."""
    try:
        return os.readlink(_INIT_NETNS) == os.readlink(OWN_NETNS)
    except OSError:
        return False


def systemd_is_init() -> bool:
    """Whether PID 1 is systemd (sd_booted(3)) and in our network namespace."""
    return os.path.isdir("/run/systemd/system") and shares_network_with_init()


def started_by_systemd(unit: str, argv: Sequence[str], log: str) -> bool:
    """Have systemd run a program as a transient service (systemd-run(1)), its output appended to a file;
    False if it does not.
    """
    properties = (
        "KillMode=mixed",
        "Restart=on-failure",
        f"StandardOutput=append:{log}",
        f"StandardError=append:{log}",
    )
    options = ("--quiet", "--collect", f"--unit={unit}", *(f"--property={each}" for each in properties))
    try:
        done = subprocess.run(
            [_SYSTEMD_RUN, *options, "--", *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=_SYSTEMD_PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def detach() -> None:
    """Move to the mounts of PID 1 and to the root control group, if this is the host."""
    with suppress(OSError):
        if shares_network_with_init():
            _move_to_root_cgroup()
            _enter_mounts_of_init()


def _move_to_root_cgroup() -> None:
    for path in _ROOT_CGROUPS:
        with suppress(OSError), open(path, "w", encoding="ascii") as file:
            file.write("0")


def _enter_mounts_of_init() -> None:
    if os.readlink(_INIT_MOUNTS) == os.readlink(_OWN_MOUNTS):
        return
    descriptor = os.open(_INIT_MOUNTS, os.O_RDONLY | os.O_CLOEXEC)
    try:
        ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNS)
    finally:
        os.close(descriptor)
