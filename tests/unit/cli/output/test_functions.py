"""Values are printed as Go prints them."""

from __future__ import annotations

import pytest

from linkspan.cli.output.functions import FUNCTIONS, HEADER_FUNCTIONS, text, to_json


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (None, "<no value>"),
        (True, "true"),
        ("x", "x"),
        (3, "3"),
        ([1, "a"], "[1 a]"),
        ({"b": 1, "a": [True]}, "map[a:[true] b:1]"),
    ],
)
def test_a_value_is_printed_as_go_prints_it(value: object, printed: str) -> None:
    assert text(value) == printed


def test_json_is_compact_and_keeps_unicode() -> None:
    assert to_json({"a": ["ü", 1], "f": len}) == '{"a":["ü",1]}'


def test_in_a_header_functions_keep_the_title() -> None:
    assert set(HEADER_FUNCTIONS) == set(FUNCTIONS)
    assert HEADER_FUNCTIONS["upper"]("NAME") == "NAME"
    assert HEADER_FUNCTIONS["join"]("LABELS", ",") == "LABELS"
