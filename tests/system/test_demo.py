"""The demo is the first thing a person runs: it works, works again, and can be broken off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.root

DEMO = [sys.executable, "-m", "tests.demo"]
MARK = "LINKSPAN_TEST_OF_DEMO"


def demo() -> subprocess.Popen[str]:
    return subprocess.Popen(DEMO, stdout=subprocess.PIPE, text=True, env={**os.environ, MARK: "1"})


def leftovers() -> list[str]:
    """Processes that a demo of ours started and that outlived it."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if MARK.encode() in file.read():
                    found.append(pid)
        except OSError:
            continue
    return found


def test_the_demo_works_after_one_that_was_broken_off() -> None:
    """Ctrl-C in the middle ends with status 130 and leaves no process; the next run is as if nothing had been."""
    broken = demo()
    assert broken.stdout is not None
    while "ADD tomcat-custom" not in broken.stdout.readline():
        assert broken.poll() is None
    broken.send_signal(signal.SIGINT)
    rest, _ = broken.communicate(timeout=30)
    assert (broken.returncode, "interrupted" in rest) == (130, True)
    assert leftovers() == []
    whole = demo()
    told, _ = whole.communicate(timeout=60)
    assert (whole.returncode, "as before" in told) == (0, True)
    assert leftovers() == []
