"""What launcher and resident say to each other comes out as it went in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from linkspan.launch import protocol


@pytest.mark.parametrize("fields", [[], [b""], [b"a", b"", b"\0" * 300]], ids=["none", "empty", "some"])
def test_a_frame_s_fields_come_out_as_they_went_in(fields: list[bytes]) -> None:
    frame = protocol.pack(fields)
    assert protocol.frame_size(frame) == len(frame) - 4
    assert protocol.unpack(frame[4:]) == fields


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_a_frame_that_is_cut_is_told(cut: int) -> None:
    with pytest.raises(ValueError, match="ends inside a field"):
        protocol.unpack(protocol.pack([b"abc"])[4:-cut])


def test_a_frame_of_any_size_is_not_listened_to() -> None:
    with pytest.raises(ValueError, match="a frame of"):
        protocol.frame_size((protocol.LIMIT + 1).to_bytes(4, "big"))


def test_a_call_comes_out_as_it_went_in() -> None:
    environ = {b"CNI_COMMAND": b"ADD", b"WITH": b"a=b", b"BAD": b"\xff", b"EMPTY": b""}
    frame = protocol.call_frame(
        "bridge", b"/some\xffwhere", environ, b"{}\n\0", [protocol.STDERR, protocol.NETNS]
    )
    assert protocol.read_call(frame[4:]) == protocol.Call(
        cni_type="bridge",
        cwd="/some\udcffwhere",
        env={"CNI_COMMAND": "ADD", "WITH": "a=b", "BAD": "\udcff", "EMPTY": ""},
        stdin=b"{}\n\0",
        descriptors=("stderr", "netns"),
    )


@pytest.mark.parametrize(
    "body", [b"", protocol.pack([b"a"])[4:], protocol.pack([b"\xff", b"", b"", b"", b""])[4:]]
)
def test_what_is_no_call_is_told(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        protocol.read_call(body)


def test_a_reply_is_status_and_stdout() -> None:
    frame = protocol.reply_frame(1, b"out\0")
    assert protocol.unpack(frame[4:]) == [b"1", b"out\0"]


def test_a_build_is_another_after_the_file_was_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "protocol.py"
    copy.write_bytes(Path(protocol.__file__).read_bytes())
    monkeypatch.setattr(protocol, "IDENTITY", str(copy))
    before = protocol.build()
    os.utime(copy, ns=(1, 1))
    assert protocol.build() != before
