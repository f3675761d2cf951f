"""Noticing another build on disk, and becoming it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from linkspan.daemon.upgrade import installed_build
from linkspan.launch import protocol


def test_a_build_that_is_not_there_has_no_identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert installed_build() == protocol.build()
    monkeypatch.setattr(protocol, "IDENTITY", str(tmp_path / "none"))
    assert installed_build() == ""


def test_a_process_becomes_the_program_and_keeps_its_process_id_and_output(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import os, linkspan\nprint(os.getpid(), os.environ['KEPT'])\n")
    code = (
        "import os; from linkspan.daemon.upgrade import become_installed; os.environ['KEPT'] = 'yes'\n"
        f"print(os.getpid(), flush=True); become_installed({str(program)!r})"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    before, after = printed.splitlines()
    assert after == f"{before} yes"


def test_it_gets_the_sockets_that_are_kept_for_it_once_and_no_others(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import os\nfrom linkspan.daemon.upgrade import inherited\n"
        "found = inherited()\n"
        "print([(sock.getsockname()[1], sock.get_inheritable()) for sock in found], inherited())\n"
    )
    code = (
        "import socket; from linkspan.daemon.upgrade import become_installed\n"
        "kept, other = socket.create_server(('127.0.0.1', 0)), socket.create_server(('127.0.0.1', 0))\n"
        f"print(kept.getsockname()[1], flush=True); become_installed({str(program)!r}, [kept])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    port, found = printed.splitlines()
    assert found == f"[({port}, False)] ()"
