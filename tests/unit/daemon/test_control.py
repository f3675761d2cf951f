"""Asking a service over its socket: messages come out as they went in, and nothing that one client does stops another."""

from __future__ import annotations

import pytest

from linkspan.daemon import control


def test_messages_come_out_as_they_went_in_wherever_they_are_cut() -> None:
    stream = control.pack({"a": 1}) + control.pack({"b": "ü"})
    for cut in range(len(stream)):
        got, rest = [], b""
        for piece in (stream[:cut], stream[cut:]):
            rest += piece
            while (unpacked := control.unpack(rest))[0] is not None:
                got.append(unpacked[0])
                rest = unpacked[1]
        assert (got, rest) == ([{"a": 1}, {"b": "ü"}], b"")


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\0\0\0\2[]", b"\0\0\0\1{"])
def test_what_is_no_message_is_told(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        control.unpack(data)
