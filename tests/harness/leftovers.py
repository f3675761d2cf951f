"""Runs a command and fails if it leaves something behind: a process, or a change of the machine.

    python -m tests.harness.leftovers python -m pytest

Processes are counted exactly: this one becomes the reaper of every descendant whose parent ends, however it
was started. Those that still run ten seconds after the command has ended are named, killed, and a failure.
What other programs change on the machine meanwhile cannot be told from what the tests left, so a difference
there is a failure only where nothing may be skipped, as in continuous integration; elsewhere it is printed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.harness import controlgroups, processes
from tests.harness.snapshot import SNAPSHOT_SCRIPT, Snapshot, read_snapshot
from tests.harness.tools import nothing_may_be_skipped

IGNORED = (
    "*.slice*", "*.scope*", "*.service*", "/run/user/*", "/run/credentials/*",  # systemd's, which come and go
    "/run/netns tmpfs",  # the first `ip netns add` mounts it for good
    "bridge/bridge-nf-call-*",  # appear with the kernel's module
)  # fmt: skip
"""Shell patterns of lines of the comparison that say nothing about the command."""
PATIENCE = 10.0
"""Seconds that a process may take to end after the command."""
#: Begins the lines of a comparison about control groups.
_GROUPS = "cgroups: "
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def supervise(command: Sequence[str]) -> int:
    """Run the command; return its status, or 1 if that is 0 and something was left, which is printed."""
    before = machine()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    status = _run(command)
    running = _remaining()
    changed = _changed(before)
    for pid, words in running.items():
        sys.stdout.write(f"still running: {pid} {words}\n")
    for line in changed:
        sys.stdout.write(f"not as before: {line}\n")
    sys.stdout.flush()
    # Runtimes keep control groups for containers to come, such as containerd's `default`: those are named only.
    left = [each for each in changed if not each.startswith(_GROUPS)]
    failed = bool(running) or (bool(left) and nothing_may_be_skipped())
    return status or int(failed)


def _changed(before: Snapshot) -> list[str]:
    """What differs from before, but for control groups of other programs: only an empty one can be a test's."""
    return [each for each in machine().diff(before, IGNORED) if not _is_of_others(each)]


def _is_of_others(line: str) -> bool:
    group = line.removeprefix(f"{_GROUPS}+ ")
    return line.startswith(_GROUPS) and (group == line or not controlgroups.is_empty(group))


def machine() -> Snapshot:
    """This machine's network, packet rules, network namespaces, state files, mounts and control groups."""
    shown = subprocess.run(
        ["/bin/sh", "-c", SNAPSHOT_SCRIPT], env=_ENV, capture_output=True, text=True, check=False
    )
    network = read_snapshot(shown.stdout, "")
    groups = tuple(sorted(controlgroups.below()))
    return Snapshot({**network.sections, "mounts": _mounts(), "cgroups": groups})


def _mounts() -> tuple[str, ...]:
    """`<mount point> <type>` of every mount, sorted; see proc_pid_mountinfo(5)."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return tuple(sorted(f"{line.split()[4]} {line.partition(' - ')[2].split()[0]}" for line in file))


def _run(command: Sequence[str]) -> int:
    """Run the command in the foreground and return its status; reap the orphans that end before it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # which a shell ignores for what it starts in the background
    started = subprocess.Popen(command)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # the terminal sends it to the command as well, which decides
    signal.signal(signal.SIGTERM, lambda number, _frame: started.send_signal(number))
    while True:
        pid, status = os.wait()
        if pid == started.pid:
            started.returncode = os.waitstatus_to_exitcode(status)
            return started.returncode if started.returncode >= 0 else 128 - started.returncode


def _remaining() -> dict[int, str]:
    """Pid -> command line of each descendant that did not end by itself; it was killed."""
    deadline = time.monotonic() + PATIENCE
    while (left := _children_left()) and time.monotonic() < deadline:
        time.sleep(0.05)
    found = {pid: processes.command_of(pid) for pid in sorted(_descendants())} if left else {}
    while _children_left():
        processes.kill(_descendants())
        time.sleep(0.01)
    return found


def _children_left() -> bool:
    """Whether a descendant runs; as we adopt orphans, we then have a child. Reaps what has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _descendants() -> set[int]:
    return processes.with_descendants([os.getpid()]) - {os.getpid()}


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1:]))
