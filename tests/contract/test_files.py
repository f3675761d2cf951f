"""Files in memory and on the kernel keep the same promises."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest

from linkspan.cni.errors import IoFailure, NotAFile
from linkspan.cni.model import Attachment
from linkspan.host.contract import Files
from linkspan.host.linux.files import LinuxFiles
from linkspan.host.memory.files import MemoryFiles
from tests.contract.test_iptables import in_processes
from tests.harness.privatehost import PrivateHost

ONE = Attachment("net", "c1", "eth0")
STATE = "/run/linkspan/1"


@pytest.fixture(params=["memory", pytest.param("linux", marks=pytest.mark.root)])
def files(request: pytest.FixtureRequest) -> Iterator[Files]:
    """Files of a host whose /run is empty."""
    if request.param == "memory":
        yield MemoryFiles()
        return
    with request.getfixturevalue("host").entered():
        yield LinuxFiles(STATE)


@pytest.fixture
def real(host: PrivateHost) -> Iterator[LinuxFiles]:
    with host.entered():
        yield LinuxFiles(STATE)


def test_absence_is_none_false_or_empty(files: Files) -> None:
    assert files.read("/run/a/b") is None
    assert files.stamp("/run/a/b") is None
    assert not files.exists("/run/a/b")
    assert files.names("/run/a") == ()
    assert not files.remove("/run/a/b")
    assert not files.remove_folder("/run/a")


def test_a_written_file_reads_the_same_and_makes_its_folders(files: Files) -> None:
    files.write("/run/a/b/c", b"one")
    assert files.read("/run/a/b/c") == b"one"
    assert files.names("/run/a") == ("b",)


def test_writing_again_replaces_the_whole(files: Files) -> None:
    files.write("/run/a/b", b"long content")
    files.write("/run/a/b", b"x")
    assert files.read("/run/a/b") == b"x"
    assert files.names("/run/a") == ("b",)


def test_files_and_folders_exist(files: Files) -> None:
    files.write("/run/a/b", b"")
    assert files.exists("/run/a")
    assert files.exists("/run/a/b")


def test_a_folder_cannot_be_read(files: Files) -> None:
    files.make_folder("/run/a")
    with pytest.raises(NotAFile, match="/run/a") as caught:
        files.read("/run/a")
    assert not caught.value.is_transient


def test_a_path_below_a_file_is_absent(files: Files) -> None:
    files.write("/run/a", b"")
    assert files.read("/run/a/b") is None
    assert files.names("/run/a") == ()


def test_writing_below_a_file_fails(files: Files) -> None:
    files.write("/run/a", b"")
    with pytest.raises(IoFailure, match="/run/a"):
        files.write("/run/a/b", b"")


def test_a_folder_is_not_made_in_place_of_a_file(files: Files) -> None:
    files.write("/run/a", b"")
    with pytest.raises(IoFailure, match="/run/a"):
        files.make_folder("/run/a")


def test_a_file_is_created_once(files: Files) -> None:
    assert files.create("/run/a/b", b"first", temporary_in="/run/a")
    assert not files.create("/run/a/b", b"second", temporary_in="/run/a")
    assert (files.read("/run/a/b"), files.names("/run/a")) == (b"first", ("b",))


def test_creating_in_a_folder_that_is_absent_fails(files: Files) -> None:
    with pytest.raises(IoFailure, match="/run/b/c"):
        files.create("/run/b/c", b"", temporary_in="/run/a")


def test_a_removed_file_is_absent(files: Files) -> None:
    files.write("/run/a/b", b"")
    assert files.remove("/run/a/b")
    assert files.read("/run/a/b") is None
    assert not files.remove("/run/a/b")


def test_a_folder_is_removed_only_when_it_is_empty(files: Files) -> None:
    files.write("/run/a/b", b"")
    assert not files.remove_folder("/run/a")
    files.remove("/run/a/b")
    assert files.remove_folder("/run/a")
    assert files.names("/run") == () or "a" not in files.names("/run")


def test_a_folder_cannot_be_removed_as_a_file(files: Files) -> None:
    files.make_folder("/run/a")
    with pytest.raises(NotAFile, match="/run/a"):
        files.remove("/run/a")


@pytest.mark.parametrize("path", ["/run/a\0b", "/run/\ud800"], ids=["NUL", "surrogate"])
def test_a_path_that_no_file_can_have_is_an_error_like_any_other(files: Files, path: str) -> None:
    """JSON can say both, and `dataDir` is a path."""
    for ask in (
        files.read,
        files.remove,
        files.names,
        files.make_folder,
        lambda path: files.write(path, b""),
    ):
        with pytest.raises(IoFailure):
            ask(path)
    with pytest.raises(IoFailure), files.lock(f"{path}/lock"):
        pass


def test_names_are_sorted(files: Files) -> None:
    for name in ("b", "a", "c"):
        files.write(f"/run/a/{name}", b"")
    assert files.names("/run/a") == ("a", "b", "c")


def test_a_stamp_stays_while_nothing_happens_and_changes_with_every_write(files: Files) -> None:
    files.write("/run/a/b", b"same")
    first, again = files.stamp("/run/a/b"), files.stamp("/run/a/b")
    files.write("/run/a/b", b"same")
    assert first == again
    assert files.stamp("/run/a/b") != first


def test_making_a_folder_that_is_there_leaves_it_as_it_is(files: Files) -> None:
    files.make_folder("/run/a/b")
    files.write("/run/a/b/c", b"x")
    files.make_folder("/run/a/b")
    assert files.read("/run/a/b/c") == b"x"


def test_a_lock_s_file_is_made_and_stays(files: Files) -> None:
    with files.lock("/run/a/lock"):
        pass
    assert files.read("/run/a/lock") == b""


def test_a_lock_can_be_had_again_after_a_failure_inside(files: Files) -> None:
    with pytest.raises(ZeroDivisionError), files.lock("/run/a/lock"):
        raise ZeroDivisionError
    with files.lock("/run/a/lock"):
        assert files.read("/run/a/lock") == b""


def test_two_attachments_can_be_locked_at_once(files: Files) -> None:
    other = Attachment("net", "c2", "eth0")
    with files.lock_attachment("bridge", ONE), files.lock_attachment("bridge", other):
        pass
    with files.lock_attachment("bridge", ONE):
        pass


def test_two_plugins_can_lock_one_attachment_at_once(files: Files) -> None:
    with files.lock_attachment("bridge", ONE), files.lock_attachment("host-local", ONE):
        pass


# --- in memory -------------------------------------------------------------------------------------


def test_files_in_memory_detect_a_deadlock() -> None:
    files = MemoryFiles()
    with files.lock("/run/lock"), pytest.raises(RuntimeError, match="deadlock"), files.lock("/run/lock"):
        pass
    assert files.held == set()


# --- on the kernel --------------------------------------------------------------------------------


@pytest.mark.root
def test_our_state_is_for_root_alone(real: LinuxFiles) -> None:
    real.write(f"{STATE}/records/bridge/a", b"")
    modes = [os.stat(f"{STATE}{each}").st_mode & 0o777 for each in ("", "/records", "/records/bridge/a")]
    assert modes == [0o700, 0o700, 0o600]


@pytest.mark.root
def test_a_link_in_our_state_is_not_followed(real: LinuxFiles) -> None:
    real.make_folder(STATE)
    Path("/run/secret").write_bytes(b"theirs")
    os.symlink("/run/secret", f"{STATE}/a")
    with pytest.raises(NotAFile):
        real.read(f"{STATE}/a")


@pytest.mark.root
def test_a_fifo_is_not_read(real: LinuxFiles) -> None:
    os.mkfifo("/run/fifo")
    with pytest.raises(NotAFile, match="/run/fifo"):
        real.read("/run/fifo")


@pytest.mark.root
def test_a_read_that_fails_leaves_no_descriptor_open(real: LinuxFiles) -> None:
    real.make_folder("/run/a")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(NotAFile):
        real.read("/run/a")
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.root
def test_a_name_too_long_for_a_file_is_absent(real: LinuxFiles) -> None:
    path = f"/run/{'a' * 256}"
    assert (real.read(path), real.exists(path), real.remove(path)) == (None, False, False)


@pytest.mark.root
def test_a_lack_of_descriptors_is_transient_and_not_absence(
    real: LinuxFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", exhausted)
    with pytest.raises(IoFailure) as caught:
        real.read("/run/a")
    assert caught.value.is_transient


@pytest.mark.root
@pytest.mark.parametrize("how", ["a link", "another owner"])
def test_a_foreign_folder_in_place_of_ours_is_refused(real: LinuxFiles, how: str) -> None:
    os.mkdir("/run/elsewhere")
    if how == "a link":
        real.make_folder("/run/linkspan")
        os.symlink("/run/elsewhere", STATE)
    else:
        real.make_folder(STATE)
        os.chown(STATE, 1234, 1234)
    with pytest.raises(IoFailure, match="not a folder of our own"):
        real.write(f"{STATE}/a", b"")


@pytest.mark.root
def test_twenty_writers_of_one_name_create_it_once(real: LinuxFiles) -> None:
    real.make_folder("/run/pool")

    def create(number: int) -> None:
        mine = LinuxFiles(STATE)
        assert mine.create("/run/pool/10.1.0.2", str(number).encode(), temporary_in="/run/pool")

    assert in_processes(20, create) == 19
    assert real.names("/run/pool") == ("10.1.0.2",)


@pytest.mark.root
@pytest.mark.parametrize("verb", ["write", "create"])
def test_a_writer_that_is_killed_leaves_nothing(real: LinuxFiles, verb: str) -> None:
    """At the last moment before the file has its name."""
    real.make_folder("/run/pool")

    def die(_: int) -> None:
        os.link = lambda *_, **__: os._exit(9)
        mine = LinuxFiles(STATE)
        if verb == "write":
            mine.write("/run/pool/10.1.0.2", b"whole")
        else:
            mine.create("/run/pool/10.1.0.2", b"whole", temporary_in="/run/pool")

    assert in_processes(1, die) == 1
    assert real.names("/run/pool") == ()


@pytest.mark.root
def test_a_file_system_without_nameless_files_keeps_the_same_promises(
    real: LinuxFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    real.make_folder("/run/pool")
    opened = os.open

    def refusing(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", refusing)
    assert real.create("/run/pool/a", b"first", temporary_in="/run/pool")
    assert not real.create("/run/pool/a", b"second", temporary_in="/run/pool")
    real.write("/run/pool/b", b"first")
    real.write("/run/pool/b", b"second")
    assert [real.read(f"/run/pool/{each}") for each in real.names("/run/pool")] == [b"first", b"second"]


def killed_while_replacing(path: str) -> None:
    """A writer is killed when its file has the temporary name, and not yet its own."""

    def die(_: int) -> None:
        os.rename = lambda *_, **__: os._exit(9)
        LinuxFiles(STATE).write(path, b"half")

    assert in_processes(1, die) == 1
    assert len(os.listdir(os.path.dirname(path))) == 2


@pytest.mark.root
def test_what_a_killed_writer_left_the_next_writer_removes(real: LinuxFiles) -> None:
    real.write("/run/pool/a", b"first")
    killed_while_replacing("/run/pool/a")
    real.write("/run/pool/a", b"second")
    assert (real.read("/run/pool/a"), real.names("/run/pool")) == (b"second", ("a",))


@pytest.mark.root
def test_what_a_killed_writer_left_goes_with_the_file(real: LinuxFiles) -> None:
    real.write("/run/pool/a", b"first")
    killed_while_replacing("/run/pool/a")
    assert real.remove("/run/pool/a")
    assert real.names("/run/pool") == ()


@pytest.mark.root
def test_writers_of_one_file_do_not_fail_each_other(real: LinuxFiles) -> None:
    def write(number: int) -> None:
        mine = LinuxFiles(STATE)
        for _ in range(50):
            mine.write("/run/pool/a", str(number).encode() * 1000)

    assert in_processes(4, write) == 0
    assert len(set(real.read("/run/pool/a") or b"")) == 1
    assert (len(real.read("/run/pool/a") or b""), real.names("/run/pool")) == (1000, ("a",))


@pytest.mark.root
@pytest.mark.parametrize("kind", ["lock", "lock_attachment"])
def test_a_lock_keeps_every_other_process_out(real: LinuxFiles, kind: str) -> None:
    count = Path("/run/count")
    count.write_text("0")

    def add(_: int) -> None:
        mine = LinuxFiles(STATE)
        for _turn in range(25):
            with mine.lock("/run/a/lock") if kind == "lock" else mine.lock_attachment("bridge", ONE):
                count.write_text(str(int(count.read_text()) + 1))

    assert in_processes(8, add) == 0
    assert count.read_text() == "200"


@pytest.mark.root
def test_an_attachment_s_lock_is_passed_on_to_programs(real: LinuxFiles) -> None:
    """Whoever is killed while a program of his still runs is not overtaken by the next verb."""
    with real.lock_attachment("bridge", ONE):
        program = subprocess.Popen(["sleep", "60"], pass_fds=tuple(real.held))
    waiting = get_context("fork").Process(target=_enter)
    waiting.start()
    waiting.join(0.3)
    before = waiting.exitcode
    program.kill()
    program.wait()
    waiting.join(10)
    assert (before, waiting.exitcode) == (None, 0)


def _enter() -> None:
    with LinuxFiles(STATE).lock_attachment("bridge", ONE):
        pass


def test_a_folder_can_be_written_when_it_or_the_nearest_above_it_can(files: Files) -> None:
    """STATUS asks so, without making anything."""
    files.write("/run/a/file", b"")
    assert files.can_write("/run/a/not/yet/there")
    assert not files.can_write("/run/a/file/below")
