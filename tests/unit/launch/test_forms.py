"""The forms of an executable: it runs whatever the path of its interpreter is, and native ones carry any text."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from linkspan import paths
from linkspan.launch import forms


@pytest.mark.parametrize("python", ["/opt/a b/python", "/" + "x" * 260], ids=["a blank", "too long"])
def test_an_interpreter_that_no_first_line_can_name_is_run_by_a_shell(python: str) -> None:
    text = forms.python_launcher("bridge", python, "/lib")
    assert text.startswith("#!/bin/sh\n")
    assert f"exec '{python}' -IS" in text
    compile(text, "launcher", "exec")


def test_a_launcher_in_a_folder_with_a_blank_runs(tmp_path: Path) -> None:
    folder = tmp_path / "a b's"
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    executable = tmp_path / "bridge"
    executable.write_text(forms.python_launcher("bridge", str(folder / "python"), paths.library_dir()))
    executable.chmod(0o755)
    done = subprocess.run(
        [str(executable)],
        env={"CNI_COMMAND": "VERSION", "LINKSPAN_STANDALONE": "1"},
        input=b"{}",
        capture_output=True,
        check=False,
    )
    assert (done.returncode, b"supportedVersions" in done.stdout) == (0, True)
