"""Which executables are ours, and of which type."""

from __future__ import annotations

from pathlib import Path

import pytest

from linkspan import paths
from linkspan.host.linux.executables import type_of_executable
from linkspan.launch import forms

ROOT = paths.library_dir()


@pytest.mark.parametrize(
    ("path", "cni_type"),
    [("plugins/bridge/bridge", "bridge"), ("plugins/host-local-ipam/host-local", "host-local"), ("dev", "")],
)
def test_an_executable_of_this_checkout_is_known(path: str, cni_type: str) -> None:
    assert type_of_executable(f"{ROOT}/{path}") == cni_type


def test_an_executable_of_another_library_is_foreign(tmp_path: Path) -> None:
    text = forms.python_launcher("bridge", "/usr/bin/python3", "/elsewhere")
    (tmp_path / "bridge").write_text(text)
    assert type_of_executable(str(tmp_path / "bridge")) == ""


@pytest.mark.parametrize(
    "content", [b"", b"\x7fELF\0\xff", b"# linkspan launcher: \n", b"# linkspan launcher: x\n"]
)
def test_a_file_without_a_whole_marker_is_foreign(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bridge").write_bytes(content)
    assert type_of_executable(str(tmp_path / "bridge")) == ""


def test_an_absent_file_is_foreign(tmp_path: Path) -> None:
    assert type_of_executable(str(tmp_path / "none")) == ""
