"""Becoming a service: there is one for each network namespace, with its name, its log and its lock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from linkspan import paths
from linkspan.daemon.service import Service
from tests.harness.patience import until

#: Becomes a service below another folder than /run/linkspan, says whether it is, and stays until it is told to end.
PROGRAM = """
import os, sys
from linkspan import paths
from linkspan.daemon import service, spawn
paths.RUN_DIR = {folder!r}
spawn.detach = lambda: print("detached", file=sys.stderr)
{before}
begun = service.Service("test", "/program.py", role="test", systemd=True).begin()
print(begun, open("/proc/self/comm").read().strip(), os.getcwd(), flush=True)
if begun and "--stay" in sys.argv:
    sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state directory; the folder of all of them is the test's own."""
    monkeypatch.setattr(paths, "RUN_DIR", str(tmp_path))
    return Path(paths.state_dir())


def begin(state: Path, *arguments: str, before: str = "") -> subprocess.Popen[str]:
    code = PROGRAM.format(folder=str(state.parent), before=before)
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], text=True, stdin=pipe, stdout=pipe, stderr=pipe
    )


def test_a_service_has_its_name_and_keeps_no_folder_busy(state: Path) -> None:
    stdout, _ = begin(state).communicate()
    assert stdout == "True linkspan test /\n"
    assert (state.stat().st_mode & 0o777, os.listdir(state)) == (0o700, ["test.lock"])


def test_a_second_one_does_not_begin_and_a_later_one_does(state: Path) -> None:
    first = begin(state, "--stay")
    assert first.stdout is not None
    assert first.stdout.readline().startswith("True")
    assert begin(state).communicate()[0].startswith("False")
    first.communicate("")
    assert begin(state).communicate()[0].startswith("True")


#: Has its files removed; another takes its place if it is told so.
RENEW = """
import os, shutil, subprocess, sys
from linkspan import paths
from linkspan.daemon.service import Service
paths.RUN_DIR = {folder!r}
ours = Service("test", "/program.py")
print(ours.begin())
shutil.rmtree(paths.state_dir())
other = None
if "--replaced" in sys.argv:
    code = "from linkspan import paths; paths.RUN_DIR = {folder!r}\\n"
    code += "from linkspan.daemon.service import Service\\n"
    code += "print(Service('test', '').begin(), flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    other.stdout.readline()
print(ours.renew(), os.path.exists(paths.only_one(paths.state_dir(), "test")))
if other:
    other.communicate(b"x")
"""


@pytest.mark.parametrize(("arguments", "renewed"), [((), "True"), (("--replaced",), "False")])
def test_a_service_whose_files_are_gone_is_it_again_unless_another_is(
    state: Path, arguments: tuple[str, ...], renewed: str
) -> None:
    code = RENEW.format(folder=str(state.parent))
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", renewed, "True"], done.stderr


def test_a_service_is_needed_while_there_are_records_that_it_works_for(state: Path) -> None:
    service = Service("test", "", records=("one", "two"))
    (state / "records/two").mkdir(parents=True)
    assert not service.is_needed()
    (state / "records/two/key.json").write_text("{}")
    assert service.is_needed()
    assert not Service("test", "").is_needed()


def test_one_that_detaches_writes_to_its_log(state: Path) -> None:
    stdout, stderr = begin(state, "--detach").communicate()
    assert (stdout, stderr) == ("", "detached\n")
    assert (state / "test.log").read_text() == "True linkspan test /\n"


def test_one_that_systemd_runs_does_not_begin_here(state: Path) -> None:
    """The lock is free by then for the process that systemd starts."""
    before = (
        "spawn.systemd_is_init = lambda: True\n"
        "def started(unit, argv, log):\n"
        "    from linkspan.daemon.singleton import take_lock\n"
        "    free = take_lock(paths.only_one(paths.state_dir(), 'test')) is not None\n"
        "    print(unit, argv[5:6], '--detach' in argv, log, free)\n"
        "    return True\n"
        "spawn.started_by_systemd = started"
    )
    stdout, _ = begin(state, "--detach", before=before).communicate()
    unit = f"linkspan-test-{state.name}"
    log = state / "test.log"
    assert stdout.splitlines()[0] == f"{unit} ['/program.py'] False {log} True"
    assert stdout.splitlines()[1].startswith("False")


def test_one_that_systemd_does_not_take_begins_here(state: Path) -> None:
    before = "spawn.systemd_is_init = lambda: True\nspawn.started_by_systemd = lambda *_: False"
    begin(state, "--detach", before=before).communicate()
    assert (state / "test.log").read_text().startswith("True")


def test_a_service_is_started_with_its_own_log(state: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import sys\nprint(sys.argv[3:])\n")
    Service("test", str(program)).start()
    log = state / "test.log"
    until(lambda: log.exists() and log.read_text() == "['--detach']\n", "the program")
