"""Programs are built with the Go that is here if it is new enough, else with the Python package index's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import cache, golang


def go_that_says(directory: Path, version: str) -> str:
    """An executable that answers `go env GOVERSION`."""
    program = directory / "go"
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> str:
    """A toolchain in the place of the one that would be fetched, and no Go in the place where it installs
    itself.
    """
    monkeypatch.setattr(golang, "provide", lambda *_args, **_options: "/cache/go")
    monkeypatch.setattr(golang, "_INSTALLED", "/nowhere/go")
    return "/cache/go/go/bin/go"


@pytest.mark.parametrize("version", ["go1.26.6", "go1.26.8", "go1.27", "go2.0", "go1.27rc1"])
def test_a_new_enough_go_on_path_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetched: str, version: str
) -> None:
    program = go_that_says(tmp_path, version)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert golang.toolchain() == program


@pytest.mark.parametrize("version", ["go1.19.8", "go1.26.5", "go1.26", "", "devel"])
def test_a_go_on_path_that_is_too_old_or_says_nothing_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetched: str, version: str
) -> None:
    go_that_says(tmp_path, version)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert golang.toolchain() == fetched


def test_without_a_go_one_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetched: str) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert golang.toolchain() == fetched


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(cache.Unavailable, match="there is no /nowhere/go"):
        cache.run(["/nowhere/go"], cwd=str(tmp_path))
