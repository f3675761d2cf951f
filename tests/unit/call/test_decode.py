"""Dataclasses from JSON: exactly what `asdict` makes of them, and nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pytest

from linkspan.call.decode import from_json


@dataclass(frozen=True)
class Inner:
    number: int
    on: bool = False


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    choice: Literal["a", "b"] | Literal[""] = ""
    words: tuple[str, ...] = ()
    inners: tuple[Inner, ...] = field(default=())


WHOLE: dict[str, Any] = {"name": "n", "inner": {"number": 1}}


@pytest.mark.parametrize(
    "value",
    [Outer("n", Inner(1)), Outer("n", Inner(1, on=True), "b", ("x", "y"), (Inner(2), Inner(3)))],
)
def test_what_asdict_and_json_made_is_the_value_again(value: Outer) -> None:
    assert from_json(Outer, json.loads(json.dumps(asdict(value)))) == value


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"name": "n"},
        {**WHOLE, "name": 1},
        {**WHOLE, "inner": {"number": "1"}},
        {**WHOLE, "inner": {"number": True}},
        {**WHOLE, "inner": {"number": 1, "on": 1}},
        {**WHOLE, "inner": None},
        {**WHOLE, "choice": "c"},
        {**WHOLE, "choice": ["a"]},
        {**WHOLE, "words": "xy"},
        {**WHOLE, "words": ["x", 2]},
        {**WHOLE, "inners": [{}]},
        {**WHOLE, "unknown": 1},
    ],
)
def test_anything_else_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(Outer, document)
