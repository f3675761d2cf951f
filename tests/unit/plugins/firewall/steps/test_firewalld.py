"""firewalld's refusals become errors of the right kind."""

from __future__ import annotations

import pytest

from tests.harness.firewall import box, call, with_firewalld


@pytest.mark.parametrize(
    ("error", "code"),
    [("ZONE_ALREADY_SET: '10.1.0.2/32'", None), ("INVALID_ZONE: x", 7), ("Connection timed out", 106)],
)
def test_what_firewalld_refuses_is_told_by_its_kind(error: str, code: int | None) -> None:
    host = box()
    with_firewalld(host, error=error)
    assert call(host, "ADD").get("code") == code
