"""The record that bridge keeps of an attachment."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cni_bridge.facts import Record

EARLY = Record(bridge="br0", ipam=None, backend=None, internal=False, isolated=None)
WHOLE = Record(
    bridge="br0",
    ipam={"type": "host-local"},
    backend="nftables",
    internal=True,
    isolated=True,
    forwards="br0.7",
    addresses=("10.5.0.2/24", "fd00:5::2/64"),
    guarded="02:42:0a:05:00:02",
    bound="02:42:0a:05:00:02",
    routed=True,
)


@pytest.mark.parametrize("record", [EARLY, WHOLE], ids=["before IPAM", "whole"])
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    assert Record.from_record(json.loads(json.dumps(record.to_record()))) == record


def test_keys_that_an_earlier_version_did_not_write_are_empty() -> None:
    assert Record.from_record({"bridge": "br0"}) == EARLY


@pytest.mark.parametrize(
    "damage",
    [
        {"addresses": "10.5.0.2/24"},
        {"addresses": ["x"]},
        {"addresses": ["10.5.0.2/33"]},
        {"backend": "pf"},
        {"ipam": "host-local"},
        {"guarded": 0},
        {"guarded": "x"},
        {"bound": ["02:42:0a:05:00:02"]},
        {"routed": 1},
    ],
)
def test_an_invalid_field_is_unknown(damage: dict[str, Any]) -> None:
    (field,) = damage
    expected = replace(WHOLE, **{field: getattr(EARLY, field)})
    assert Record.from_record({**WHOLE.to_record(), **damage}) == expected
