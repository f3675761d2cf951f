"""Control groups are found and removed in every hierarchy, and those in use stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import controlgroups


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in place of /sys/fs/cgroup, with a hierarchy of v2 and two of v1."""
    monkeypatch.setattr(controlgroups, "_TOP", str(tmp_path))
    for path in ("parent/a", "parent/b", "memory/parent/a", "pids/other"):
        (tmp_path / path).mkdir(parents=True)
    return tmp_path


def test_groups_of_a_name_are_found_in_every_hierarchy(top: Path) -> None:
    found = {path.removeprefix(f"{top}/") for path in controlgroups.below("parent")}
    assert found == {"parent", "parent/a", "parent/b", "memory/parent", "memory/parent/a"}


def test_every_group_is_found_without_a_name(top: Path) -> None:
    found = {path.removeprefix(f"{top}/") for path in controlgroups.below()}
    assert {"parent/a", "memory/parent/a", "pids/other"} <= found


def test_what_is_new_is_removed_and_what_was_there_or_is_in_use_stays(top: Path) -> None:
    before = controlgroups.below("parent")
    (top / "memory/parent/new/inner").mkdir(parents=True)
    (top / "parent/used").mkdir()
    (top / "parent/used/process").touch()
    controlgroups.remove(controlgroups.below("parent") - before)
    assert not (top / "memory/parent/new").exists()
    assert (top / "parent/used").exists()
    assert (top / "parent/a").exists()


def test_a_named_group_is_removed_from_each_hierarchy(top: Path) -> None:
    controlgroups.remove_named("parent/a")
    assert controlgroups.below("parent/a") == set()
    assert controlgroups.below("parent/b") != set()
