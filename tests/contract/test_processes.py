"""Processes in memory and on the kernel keep the same promises."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from linkspan.cni.errors import IoFailure, ToolMissing, TryAgain
from linkspan.host.contract import Finished, Processes
from linkspan.host.linux import patience
from linkspan.host.linux.patience import Patience
from linkspan.host.linux.processes import LinuxProcesses
from linkspan.host.memory.processes import MemoryProcesses, Run
from tests.harness.patience import until

#: Makes programs at paths: one that writes stdin, then $WORD and its working directory, and ends with status
#: 3.
Maker = Callable[[str], str]


class Desk:
    """Processes, and a way to put the program into a folder."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self.processes = processes
        self._folder = folder

    def path(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def program(self, name: str) -> str:
        path = self.path(name)
        if isinstance(self.processes, MemoryProcesses):
            self.processes.programs[path] = _echo
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            Path(path).write_text('#!/bin/sh\n/bin/cat\nprintf "|$WORD|$(pwd)"\nexit 3\n')
            os.chmod(path, 0o755)
        return path


def _echo(run: Run) -> Finished:
    return Finished(3, run.stdin + f"|{run.env.get('WORD', '')}|{run.cwd}".encode())


@pytest.fixture(params=["memory", "linux"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    return Desk(MemoryProcesses() if request.param == "memory" else LinuxProcesses(), tmp_path)


def test_the_first_of_several_folders_wins(desk: Desk) -> None:
    first = desk.program("a/tool")
    desk.program("b/tool")
    assert desk.processes.find("tool", (desk.path("none"), desk.path("a"), desk.path("b"))) == first


def test_an_absent_program_is_not_found(desk: Desk) -> None:
    assert desk.processes.find("tool", (desk.path("a"),)) is None
    assert desk.processes.find("tool", ()) is None
    assert desk.processes.find("to\0ol", (desk.path("a"),)) is None
    assert desk.processes.find("\ud800", (desk.path("a"),)) is None


def test_a_program_gets_its_input_and_its_result_is_returned(desk: Desk, tmp_path: Path) -> None:
    path = desk.program("a/tool")
    done = desk.processes.run([path], stdin=b"in", env={"WORD": "w"}, cwd=str(tmp_path))
    assert done == Finished(3, f"in|w|{tmp_path}".encode())


def test_a_program_gets_the_given_environment_only(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "ours")
    path = desk.program("a/tool")
    assert desk.processes.run([path], stdin=b"", env={}, cwd="/").stdout == b"||/"


def test_an_absent_program_is_a_missing_tool(desk: Desk) -> None:
    with pytest.raises(ToolMissing, match="tool"):
        desk.processes.run([desk.path("tool")], stdin=b"", env={}, cwd="/")


# --- on the kernel --------------------------------------------------------------------------------


def test_a_folder_of_the_name_is_not_a_program(tmp_path: Path) -> None:
    (tmp_path / "tool").mkdir()
    assert LinuxProcesses().find("tool", (str(tmp_path),)) is None


def test_a_link_to_a_program_is_one(tmp_path: Path) -> None:
    (tmp_path / "tool").symlink_to("/bin/sh")
    assert LinuxProcesses().find("tool", (str(tmp_path),)) == str(tmp_path / "tool")


def test_a_working_directory_that_is_gone_is_the_root(tmp_path: Path) -> None:
    done = LinuxProcesses().run(["/bin/pwd"], stdin=b"", env={}, cwd=str(tmp_path / "gone"))
    assert done.stdout == b"/\n"


def test_a_file_that_cannot_be_run_is_an_io_failure(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("not a program")
    (tmp_path / "tool").chmod(stat.S_IRUSR)
    with pytest.raises(IoFailure, match="tool"):
        LinuxProcesses().run([str(tmp_path / "tool")], stdin=b"", env={}, cwd="/")


def test_a_program_that_is_still_open_for_writing_is_tried_again(tmp_path: Path) -> None:
    from threading import Timer

    tool = tmp_path / "tool"
    tool.write_bytes(Path(os.path.realpath("/bin/true")).read_bytes())
    tool.chmod(0o755)
    writer = tool.open("ab")
    closing = Timer(0.1, writer.close)
    closing.start()
    assert LinuxProcesses().run([str(tool)], stdin=b"", env={}, cwd="/").status == 0
    closing.join()


@pytest.mark.parametrize("word", ["a\0b", "\ud800"], ids=["NUL", "surrogate"])
def test_an_argument_that_no_program_can_be_given_is_refused(desk: Desk, word: str) -> None:
    with pytest.raises(IoFailure, match="no program can be given"):
        desk.processes.run([desk.program("tool"), word], stdin=b"", env={}, cwd="/")


def test_a_program_that_hangs_is_killed_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LEAST", 0.2)
    tool = tmp_path / "tool"
    tool.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {tmp_path}/child\nsleep 60\n")
    tool.chmod(0o755)
    with pytest.raises(TryAgain, match=r"^tool did not end within 0 s and was killed$") as caught:
        LinuxProcesses(patience=Patience(0.0)).run([str(tool)], stdin=b"", env={}, cwd="/")
    assert str(tool) in caught.value.details
    child = int((tmp_path / "child").read_text())
    until(lambda: not _runs(child), "the program's child to end")


def test_a_program_that_is_interrupted_is_killed_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        until((tmp_path / "child").exists, "the program to start")
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupt)
    tool = tmp_path / "tool"
    tool.write_text(
        f"#!/bin/sh\nsleep 60 &\necho $! > {tmp_path}/new && mv {tmp_path}/new {tmp_path}/child\nwait\n"
    )
    tool.chmod(0o755)
    with pytest.raises(KeyboardInterrupt):
        LinuxProcesses().run([str(tool)], stdin=b"", env={"PATH": "/bin:/usr/bin"}, cwd="/")
    child = int((tmp_path / "child").read_text())
    until(lambda: not _runs(child), "the program's child to end")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
