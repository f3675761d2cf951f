"""A program that is started to outlive its caller: what it has of the caller, and what it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from linkspan.launch import interpreter
from tests.harness.patience import until

#: Writes down what it finds of its caller.
PROGRAM = """
import json, os, sys
import linkspan.paths
print("said")
found = {
    "argv": sys.argv[3:],
    "open": [os.readlink(f"/proc/self/fd/{each}") for each in sorted(os.listdir("/proc/self/fd"), key=int)[:-1]],
    "environment": sorted(os.environ),
    "shares our session": os.getsid(0) == int(%(session)d),
    "has ours as parent": os.getppid() == int(%(parent)d),
}
with open("%(found)s~", "w") as file:
    json.dump(found, file)
os.rename("%(found)s~", "%(found)s")
"""


@pytest.fixture
def started(tmp_path: Path) -> dict[str, Any]:
    """What a started program has found; there was a descriptor of ours that programs inherit."""
    found, program = tmp_path / "found", tmp_path / "program.py"
    program.write_text(PROGRAM % {"parent": os.getpid(), "session": os.getsid(0), "found": found})
    inherited, other = os.pipe()
    os.set_inheritable(inherited, True)
    try:
        interpreter.start(str(program), str(tmp_path / "log"))
    finally:
        os.close(inherited)
        os.close(other)
    until(found.exists, "the program")
    until(lambda: (tmp_path / "log").read_text() != "", "its output")
    return {**json.loads(found.read_text()), "log": (tmp_path / "log").read_text()}


def test_a_started_program_has_nothing_of_its_caller(started: dict[str, Any], tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    assert started == {
        "argv": ["--detach"],
        "open": ["/dev/null", log, log],
        "environment": ["LC_ALL", "PATH"],
        "shares our session": False,
        "has ours as parent": False,
        "log": "said\n",
    }


def test_a_log_that_cannot_be_opened_keeps_no_program_from_starting(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(f"open({str(tmp_path / 'found')!r}, 'w')")
    interpreter.start(str(tmp_path / "program.py"), str(tmp_path / "none/log"))
    until((tmp_path / "found").exists, "the program")


def test_nobody_is_left_to_be_waited_for(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("")
    # In a process that has no other children, as pytest may have.
    script = (
        "import os; from linkspan.launch import interpreter\n"
        f"interpreter.start({str(tmp_path / 'program.py')!r}, {str(tmp_path / 'log')!r})\n"
        "try: os.waitpid(-1, os.WNOHANG)\nexcept ChildProcessError: raise SystemExit(7)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 7


def test_a_program_finds_what_this_process_finds() -> None:
    argv = interpreter.program_argv("/some/program.py", "more")
    assert argv[:3] == [sys.executable, "-I", "-S"]
    assert (argv[5], argv[7:]) == ("/some/program.py", ["more"])
    assert set(argv[6].split(":")) >= {os.path.abspath(each) for each in sys.path if each}
