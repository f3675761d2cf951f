"""Processes of the tests that must not outlive them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable

from tests.harness import processes
from tests.harness.patience import until

PARENT = """
import time
from concurrent.futures import ProcessPoolExecutor
from tests.harness.processes import children, end_with_parent
import os
pool = ProcessPoolExecutor(1, initializer=end_with_parent)
pool.submit(int).result()
print(*children()[os.getpid()], flush=True)
time.sleep(600)
"""


def test_a_pool_s_processes_end_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        assert workers
        parent.kill()
    until(lambda: not any(processes.command_of(pid) for pid in workers), "the pool's processes to end")


def test_descendants_are_found_through_every_generation() -> None:
    argv = ["/bin/sh", "-c", "sh -c 'sleep 600 & echo; wait' & wait"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as top:
        assert top.stdout is not None
        top.stdout.readline()
        found = processes.with_descendants([top.pid])
        try:
            # A process that has just been forked has the command of its parent, or none, until it executes.
            until(lambda: "sleep" in _names(found), "the last generation to execute")
            commands = _names(found)
        finally:
            processes.kill(found)
    assert commands == ["/bin/sh", "sh", "sleep"]


def _names(pids: Iterable[int]) -> list[str]:
    return sorted(processes.command_of(pid).partition(" ")[0] for pid in pids)
