"""How long a call waits for locks and programs: as long as it says, and not for ever."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from linkspan.cni.errors import TryAgain
from linkspan.cni.model import Attachment
from linkspan.host.linux import patience
from linkspan.host.linux.files import LinuxFiles
from linkspan.host.linux.iptables import tools
from tests.harness import tools as tools_of_tests
from tests.harness.patience import until

Lock = Callable[[], AbstractContextManager[None]]


@pytest.fixture(params=["file", "attachment", "xtables"])
def lock(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lock:
    files = LinuxFiles(str(tmp_path))
    monkeypatch.setattr(tools, "_LOCK", str(tmp_path / "xtables.lock"))
    if request.param == "file":
        return lambda: files.lock(str(tmp_path / "file.lock"))
    if request.param == "attachment":
        return lambda: files.lock_attachment("bridge", Attachment("net", "c1", "eth0"))
    return tools.xtables_lock


def test_a_lock_that_is_never_given_up_is_an_error_that_names_it(
    lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LOCK", 0.05)
    with lock(), pytest.raises(TryAgain, match="was locked by another process for 0 s") as caught, lock():
        pass
    assert "`fuser -v /" in caught.value.details


def test_a_lock_that_was_waited_for_in_vain_is_not_taken_later(
    lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LOCK", 0.05)
    with lock(), pytest.raises(TryAgain), lock():
        pass
    monkeypatch.setattr(patience, "LOCK", 10.0)
    with lock():
        pass


def test_a_lock_is_taken_as_soon_as_it_is_given_up(lock: Lock) -> None:
    held, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with lock():
            held.set()
            may_go.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    threading.Timer(0.1, may_go.set).start()
    with lock():
        assert may_go.is_set()
    holder.join()


def test_who_has_a_lock_is_found_as_the_error_says_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("fuser") is None:
        tools_of_tests.skip("fuser of the package psmisc is missing")
    path = tmp_path / "a.lock"
    path.touch()
    holder = subprocess.Popen(["flock", str(path), "sleep", "60"], start_new_session=True)
    monkeypatch.setattr(patience, "LOCK", 0.05)
    files = LinuxFiles(str(tmp_path))

    def error() -> str:
        try:
            with files.lock(str(path)):
                return ""
        except TryAgain as refused:
            return refused.details

    until(lambda: bool(error()), "the lock to be held")
    command = error().split("`")[1].split()
    listed = subprocess.run(
        [command[0], *command[2:]], check=False, capture_output=True, text=True
    ).stdout.split()
    assert str(holder.pid) in listed
    for pid in listed:
        os.kill(int(pid), signal.SIGKILL)
    holder.wait()
    until(lambda: not error(), "the lock to be free")


def test_another_failure_than_a_held_lock_is_raised(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    os.close(descriptor)
    with pytest.raises(OSError, match="Bad file"):
        patience.flock(descriptor, str(tmp_path))

    def held() -> None:
        raise BlockingIOError

    with pytest.raises(OSError, match="Bad file"):
        patience.acquire_within("a lock", held, lambda: fcntl.flock(descriptor, fcntl.LOCK_EX))


def test_every_program_of_a_call_has_what_the_others_left_and_at_least_a_few_seconds() -> None:
    ours = patience.Patience(20.0)
    first = ours.left()
    time.sleep(0.01)
    assert patience.LEAST < ours.left() < first <= 20.0
    assert patience.Patience(0.0).left() == patience.LEAST
    assert patience.CALL - 1 < patience.Patience().left() <= patience.CALL
