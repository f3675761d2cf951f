"""Who keeps a network namespace, on a /proc that a test has written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from linkspan.daemon import namespace
from linkspan.daemon.loop import Loop
from linkspan.daemon.namespace import Namespace


class Proc:
    """A folder that looks like /proc; namespaces are files in it. We are in the one called "ours"."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._patch = patch
        for name in ("ours", "other"):
            (folder / name).write_text("")
        self.add("self", "ours")
        self.add("1", "other", "systemd")

    def add(self, pid: str, net: str, comm: str = "", mounts: str = "mnt:[1]", mountinfo: str = "") -> None:
        """A process."""
        (self.folder / pid / "ns").mkdir(parents=True)
        (self.folder / pid / "ns/net").symlink_to(self.folder / net)
        (self.folder / pid / "ns/mnt").symlink_to(mounts)
        (self.folder / pid / "comm").write_text(f"{comm}\n")
        (self.folder / pid / "mountinfo").write_text(mountinfo)

    def mount(self, pid: str, at: str, net: str) -> None:
        """Let a process see a namespace mounted."""
        (self.folder / pid / "root").mkdir()
        (self.folder / pid / "root" / at).symlink_to(self.folder / net)
        inode = (self.folder / net).stat().st_ino
        written = at.replace(" ", "\\040")
        line = f"36 35 0:4 net:[{inode}] /{written} rw shared:1 - nsfs nsfs rw\n"
        (self.folder / pid / "mountinfo").write_text("22 1 0:21 / /proc rw - proc proc rw\n" + line)

    def forbid_search(self) -> None:
        """Let a search of all processes fail."""
        self._patch.setattr(os, "listdir", lambda _: pytest.fail("every process was looked at"))

    def namespace(self) -> Namespace:
        """Our namespace as it tells."""
        return Namespace(str(self.folder))


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proc:
    return Proc(tmp_path, monkeypatch)


def test_a_namespace_with_nobody_in_it_is_not_kept(proc: Proc) -> None:
    assert not proc.namespace().is_kept()


def test_the_namespace_of_pid_1_is_kept_whatever_else_there_is(proc: Proc) -> None:
    (proc.folder / "1/ns/net").unlink()
    (proc.folder / "1/ns/net").symlink_to(proc.folder / "ours")
    (proc.folder / "1/comm").write_text("linkspan\n")
    assert proc.namespace().is_kept()


def test_a_process_in_it_keeps_it(proc: Proc) -> None:
    proc.add("7", "ours", "bash")
    assert proc.namespace().is_kept()


@pytest.mark.parametrize("comm", ["linkspan", "linkspan worker", "linkspan dns"])
def test_a_service_of_ours_does_not(proc: Proc, comm: str) -> None:
    proc.add("7", "ours", comm)
    assert not proc.namespace().is_kept()


@pytest.mark.parametrize("comm", ["linkspander", "my linkspan", "bridge"])
def test_a_process_with_another_name_does(proc: Proc, comm: str) -> None:
    proc.add("7", "ours", comm)
    assert proc.namespace().is_kept()


@pytest.mark.parametrize("at", ["node", "a node"])
def test_a_mount_that_another_process_sees_keeps_it(proc: Proc, at: str) -> None:
    proc.mount("1", at, "ours")
    assert proc.namespace().is_kept()


def test_a_mount_of_another_namespace_does_not(proc: Proc) -> None:
    proc.mount("1", "node", "other")
    assert not proc.namespace().is_kept()


def test_a_mount_that_only_a_service_of_ours_sees_does_not(proc: Proc) -> None:
    """It is gone with the mount namespace of that service."""
    proc.add("7", "other", "linkspan", mounts="mnt:[2]")
    proc.mount("7", "node", "ours")
    assert not proc.namespace().is_kept()


def test_a_mount_namespace_is_read_once_though_the_first_process_in_it_is_ours(proc: Proc) -> None:
    proc.add("7", "other", "linkspan", mounts="mnt:[2]")
    proc.add("8", "other", "bash", mounts="mnt:[2]")
    proc.mount("8", "node", "ours")
    assert proc.namespace().is_kept()


def test_the_end_of_who_kept_it_is_noticed_and_the_next_one_found(proc: Proc) -> None:
    proc.add("7", "ours", "bash")
    seen = proc.namespace()
    answers = [seen.is_kept()]
    (proc.folder / "7/ns/net").unlink()
    answers.append(seen.is_kept())
    proc.add("8", "ours", "bash")
    answers.append(seen.is_kept())
    assert answers == [True, False, True]


def test_what_pid_1_sees_mounted_is_preferred_to_a_process_that_may_end_soon(proc: Proc) -> None:
    proc.add("7", "ours", "bash")
    proc.mount("1", "node", "ours")
    seen = proc.namespace()
    seen.is_kept()
    (proc.folder / "7/ns/net").unlink()
    proc.forbid_search()
    assert seen.is_kept()


def test_asking_again_looks_at_nobody_but_who_kept_it(proc: Proc) -> None:
    proc.add("7", "ours", "bash")
    seen = proc.namespace()
    seen.is_kept()
    proc.forbid_search()
    assert seen.is_kept()


@pytest.mark.parametrize(
    ("answers", "called"),
    [([True, False, True, False], 0), ([False, True, False], 0), ([True, False, False], 1)],
)
def test_two_checks_in_a_row_make_it_abandoned(
    monkeypatch: pytest.MonkeyPatch, answers: list[bool], called: int
) -> None:
    monkeypatch.setattr(namespace, "INTERVAL", 0.001)
    calls: list[None] = []
    loop = Loop(lambda error: pytest.fail(repr(error)))
    namespace.watch(loop, lambda: calls.append(None), Answers(answers, loop.stop))
    loop.run()
    assert len(calls) == called


class Answers(Namespace):
    """A namespace that is kept as a test says, and then says that it was asked often enough."""

    def __init__(self, answers: list[bool], done: Callable[[], None]) -> None:
        self._answers = answers
        self._done = done

    def is_kept(self) -> bool:
        answer = self._answers.pop(0)
        if not self._answers:
            self._done()
        return answer
