"""The log of a service: lines with their time, in a file that does not grow without end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from linkspan.daemon import log


def run(code: str, stderr: Path) -> None:
    with stderr.open("ab") as file:
        subprocess.run([sys.executable, "-c", code], stderr=file, check=True)


def test_a_line_has_date_and_time(tmp_path: Path) -> None:
    run("from linkspan.daemon.log import say; say('started')", tmp_path / "log")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d started\n", (tmp_path / "log").read_text())


def test_a_full_log_starts_over(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * (log.LIMIT + 1))
    run("from linkspan.daemon.log import say; say('started')", tmp_path / "log")
    assert (tmp_path / "log").stat().st_size < 100


def test_a_closed_stream_is_no_fault() -> None:
    subprocess.run(
        [sys.executable, "-c", "import os; os.close(2)\nfrom linkspan.daemon.log import say; say('x')"],
        check=True,
    )


def test_redirected_output_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    code = f"import os; from linkspan.daemon.log import redirect; redirect({str(path)!r}); os.write(1, b'out\\n')"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert path.read_text() == "before\nout\n"


def test_a_new_log_is_for_our_user_only(tmp_path: Path) -> None:
    path = tmp_path / "log"
    code = f"from linkspan.daemon.log import redirect; redirect({str(path)!r})"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_in_the_place_of_the_log_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"):
        log.redirect(str(tmp_path / "log"))
    assert os.listdir(tmp_path) == ["log"]
