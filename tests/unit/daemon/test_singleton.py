"""Only one process at a time has the lock of a service."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from linkspan.daemon.singleton import drop_lock, take_lock


def test_a_second_one_does_not_get_it(tmp_path: Path) -> None:
    first = take_lock(str(tmp_path / "lock"))
    assert first is not None
    assert take_lock(str(tmp_path / "lock")) is None
    os.close(first)


def test_it_is_free_when_its_holder_has_closed_it(tmp_path: Path) -> None:
    for _ in range(2):
        lock = take_lock(str(tmp_path / "lock"))
        assert lock is not None
        os.close(lock)


def test_one_that_is_patient_gets_it_from_a_holder_that_ends(tmp_path: Path) -> None:
    first = take_lock(str(tmp_path / "lock"))
    assert first is not None
    threading.Timer(0.05, os.close, (first,)).start()
    second = take_lock(str(tmp_path / "lock"), patience=5.0)
    assert second is not None
    os.close(second)


def test_it_is_not_passed_on_to_programs(tmp_path: Path) -> None:
    lock = take_lock(str(tmp_path / "lock"))
    assert lock is not None
    assert not os.get_inheritable(lock)
    os.close(lock)


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"):
        take_lock(str(tmp_path / "lock"))


def test_it_can_be_given_up_without_its_descriptor(tmp_path: Path) -> None:
    assert take_lock(str(tmp_path / "lock")) is not None
    drop_lock(str(tmp_path / "lock"))
    second = take_lock(str(tmp_path / "lock"))
    assert second is not None
    os.close(second)
