"""JSON that other programs wrote."""

from __future__ import annotations

import pytest

from linkspan.cni.json_value import parse_json


@pytest.mark.parametrize("data", [b'{"a": [1, null]}', '{"a": [1, null]}'], ids=["bytes", "text"])
def test_json_is_parsed(data: bytes | str) -> None:
    assert parse_json(data) == {"a": [1, None]}


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, "[" * 100_000],
    ids=lambda it: str(it[:6]),
)
def test_anything_else_is_one_kind_of_error(data: bytes | str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(data)
