"""The configuration directory on disk: what runtimes see at each moment, and what a killed writer leaves."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from pathlib import Path

import pytest

from linkspan.runtime.files import NERDCTL_LOCK, PODMAN_LOCK, Directory


def text(name: str) -> str:
    return json.dumps({"name": name, "plugins": [{"type": "bridge"}]})


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "default").mkdir()
    (tmp_path / "10-a.conflist").write_text(text("a"))
    (tmp_path / "default" / "nerdctl-b.conflist").write_text(text("b"))
    return tmp_path


def names(directory: Directory) -> list[str]:
    return [each.name for each in directory.lists()]


def test_lists_are_those_of_the_root_and_of_every_subdirectory(conf: Path) -> None:
    (conf / "other").mkdir()
    (conf / "other" / "c.conf").write_text(json.dumps({"name": "c", "type": "ptp"}))
    found = Directory(str(conf)).lists()
    assert [(each.namespace, each.name) for each in found] == [("", "a"), ("default", "b"), ("other", "c")]
    assert found[0].changed == (conf / "10-a.conflist").stat().st_mtime_ns


def test_an_absent_directory_has_no_lists(tmp_path: Path) -> None:
    assert Directory(str(tmp_path / "absent")).lists() == ()


def test_a_file_that_is_not_a_list_is_told_and_left_out(conf: Path) -> None:
    told: list[str] = []
    (conf / "20-bad.conflist").write_text("{")
    (conf / "30-folder.conflist").mkdir()
    (conf / "40-link.conflist").symlink_to("/nowhere")
    assert names(Directory(str(conf), told.append)) == ["a", "b"]
    assert [f"{conf}/20-bad.conflist is not a network list" in each for each in told] == [True]


def test_a_list_appears_by_rename_with_what_every_runtime_may_read(conf: Path) -> None:
    directory = Directory(str(conf))
    with directory.locked():
        directory.write(f"{conf}/new/nerdctl-c.conflist", text("c").encode())
    written = conf / "new" / "nerdctl-c.conflist"
    assert (written.stat().st_mode & 0o777, written.read_text()) == (0o644, text("c"))
    assert os.listdir(conf / "new") == ["nerdctl-c.conflist"]


def test_nerdctls_lock_excludes_a_change(conf: Path) -> None:
    done = threading.Event()

    def change() -> None:
        with Directory(str(conf)).locked():
            done.set()

    with open(conf / NERDCTL_LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(target=change)
        thread.start()
        assert not done.wait(0.1)
    thread.join(5)
    assert done.is_set()


def test_the_lock_file_is_what_nerdctl_creates(conf: Path) -> None:
    with Directory(str(conf)).locked():
        assert (conf / NERDCTL_LOCK).stat().st_mode & 0o777 == 0o600


def test_podmans_lock_is_held_where_there_is_one(conf: Path) -> None:
    lock = conf / PODMAN_LOCK
    lock.touch()
    with Directory(str(conf)).locked():
        pid = os.fork()
        if not pid:
            with open(lock, "r+") as other:
                try:
                    fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    os._exit(0)
            os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0


def test_what_a_killed_writer_left_is_never_a_list_and_goes_with_the_next_change(conf: Path) -> None:
    left = conf / "default" / "nerdctl-c.conflist.linkspan-new"
    left.write_text(text("c"))
    directory = Directory(str(conf))
    assert names(directory) == ["a", "b"]
    with directory.locked():
        assert not left.exists()


def test_a_list_that_is_put_aside_is_no_list_until_it_is_restore(conf: Path) -> None:
    directory = Directory(str(conf))
    with directory.locked():
        removal = directory.put_aside(directory.lists()[1])
        assert names(directory) == ["a"]
        assert [each.list.name for each in directory.unfinished_removals()] == ["b"]
        directory.restore(removal)
        assert (names(directory), directory.unfinished_removals()) == (["a", "b"], ())


def test_a_list_that_is_forgotten_is_gone(conf: Path) -> None:
    directory = Directory(str(conf))
    with directory.locked():
        directory.forget(directory.put_aside(directory.lists()[1]))
    assert os.listdir(conf / "default") == []


def test_an_unfinished_removal_is_found_after_the_process_is_gone(conf: Path) -> None:
    directory = Directory(str(conf))
    with directory.locked():
        directory.put_aside(directory.lists()[1])
    with directory.locked():
        (found,) = directory.unfinished_removals()
        assert (found.list.name, found.list.namespace) == ("b", "default")
        directory.restore(found)
    assert names(directory) == ["a", "b"]
