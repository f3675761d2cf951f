"""The rules of an address are removed for its owner, whoever had it before."""

from __future__ import annotations

import pytest

from tests.harness.firewall import box, call, own, rules


def test_delete_of_the_former_owner_leaves_the_rules_of_the_present_one() -> None:
    """Case 143."""
    host = box()
    call(host, "ADD", cid="old")
    call(host, "ADD", cid="new")
    before = rules(host)
    call(host, "DEL", cid="old")
    call(host, "DEL", cid="old")
    assert rules(host) == before
    call(host, "DEL", cid="new")
    assert own(host) == frozenset()


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"{}", b"[1, 2, 3]", b'["n1", "c1"]'])
def test_a_damaged_owner_is_nobody(content: bytes) -> None:
    host = box()
    before = own(host)
    host.files.write(f"{host.state_dir}/firewall/10.1.0.2", content)
    assert [call(host, verb).get("code", 0) for verb in ("ADD", "CHECK", "DEL")] == [0, 0, 0]
    assert own(host) == before
