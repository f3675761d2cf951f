"""`linkspan install`: the form of the executables, and nothing written when something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from linkspan.cli.group import group


def install(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(group, ["install", "--bin-dir", str(folder), *arguments])


def is_native(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x7fELF")


@pytest.fixture(params=["none", "one that fails", "one that is not there"])
def no_compiler(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A machine without a C compiler, or without one that works."""
    monkeypatch.setenv("CC", {"none": "", "one that fails": "false"}.get(request.param, "/no/such/cc -O2"))
    monkeypatch.setenv(
        "PATH", str(tmp_path_factory.mktemp("path")) if request.param == "none" else "/usr/bin:/bin"
    )


def test_with_a_compiler_the_executables_are_native(tmp_path: Path) -> None:
    done = install(tmp_path)
    assert (done.exit_code, is_native(tmp_path / "bridge"), done.stderr) == (0, True, "")


def test_scripts_on_request(tmp_path: Path) -> None:
    assert install(tmp_path, "--launcher", "python").exit_code == 0
    assert not is_native(tmp_path / "bridge")


def test_one_form_takes_the_place_of_the_other(tmp_path: Path) -> None:
    for form in ("python", "native", "python"):
        assert install(tmp_path, "--launcher", form).exit_code == 0
        assert is_native(tmp_path / "bridge") == (form == "native")
    assert not list(tmp_path.glob("*before*"))


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_they_are_scripts_and_it_says_so(tmp_path: Path) -> None:
    done = install(tmp_path)
    assert (done.exit_code, is_native(tmp_path / "bridge")) == (0, False)
    assert "Python scripts" in done.stderr


@pytest.mark.usefixtures("no_compiler")
def test_native_without_a_compiler_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    done = install(tmp_path / "bin", "--launcher", "native")
    assert (done.exit_code, (tmp_path / "bin").exists()) == (1, False)
    assert "need a C compiler" in done.stderr


def test_a_stranger_in_the_way_is_named_before_anything_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "/no/such/cc")
    (tmp_path / "portmap").write_text("theirs")
    done = install(tmp_path, "--launcher", "native")
    assert "--replace" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["portmap"]
