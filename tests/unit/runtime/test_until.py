"""Points in time as Docker's `until` takes them."""

from __future__ import annotations

import pytest

from linkspan.runtime.until import parse_until

NOW = 1_000_000 * 10**9


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", 1_000_000 - 600),
        ("1h30m", 1_000_000 - 5400),
        ("1.5s", 1_000_000 - 1.5),
        ("12345", 12345),
        ("1970-01-01T00:01:00Z", 60),
        ("1970-01-01T01:01:00+01:00", 60),
        ("1970-01-02", 86400),
    ],
)
def test_a_duration_or_a_time_is_a_point_in_time(text: str, seconds: float) -> None:
    assert parse_until(text, NOW) == round(seconds * 10**9)


@pytest.mark.parametrize("text", ["", "yesterday", "10x", "1h later", "-1h"])
def test_anything_else_is_none(text: str) -> None:
    assert parse_until(text, NOW) is None
