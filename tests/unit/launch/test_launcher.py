"""The launcher's own decisions: which executables are ours, and when the resident is one to talk to."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkspan import paths
from linkspan.host.linux.executables import type_of_executable
from linkspan.launch import forms, launcher, protocol

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


def test_a_build_is_another_after_the_file_was_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "protocol.py"
    copy.write_bytes(Path(protocol.__file__).read_bytes())
    monkeypatch.setattr(protocol, "IDENTITY", str(copy))
    before = protocol.build()
    os.utime(copy, ns=(1, 1))
    assert protocol.build() != before


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """(ours, the resident's) ends of a connection, with a patience that a test can afford."""
    ours, its = socket.socketpair()
    ours.settimeout(0.05)
    with ours, its:
        yield ours, its


def test_the_greeting_of_a_resident_that_greets_as_we_would_matches(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    whole = protocol.greeting()
    ends[1].sendall(whole[:5])
    threading.Timer(0.01, ends[1].sendall, (whole[5:],)).start()
    assert launcher.greeting_matches(ends[0])


@pytest.mark.parametrize("said", [b"", b"linkspan", b"linkspan other net:[1] mnt:[1]\n", b"\n"])
def test_the_greeting_of_a_resident_that_is_silent_or_another_does_not(
    ends: tuple[socket.socket, socket.socket], said: bytes
) -> None:
    ends[1].sendall(said)
    assert not launcher.greeting_matches(ends[0])


def test_the_greeting_of_a_resident_that_hangs_up_does_not(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[1].close()
    assert not launcher.greeting_matches(ends[0])


@pytest.mark.parametrize("sent", [b"", b"\0\0", b"\0\0\0\x20abc", b"\0\0\0\4\0\0\0\x09"])
def test_an_answer_that_never_comes_whole_is_none(
    ends: tuple[socket.socket, socket.socket], sent: bytes
) -> None:
    ends[1].sendall(sent)
    ends[1].close()
    assert launcher._receive(ends[0]) is None


def test_an_answer_is_status_and_stdout(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[1].sendall(protocol.pack([b"1", b"out"]))
    assert launcher._receive(ends[0]) == (1, b"out")
