"""Errors name the JSON path, the value and the fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from linkspan.cni.errors import InvalidConfig
from linkspan.cni.schema import check, normalize_keys

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "mtu": {"type": "integer", "minimum": 68, "description": "the MTU in bytes, 68 or more"},
        "backend": {"enum": ["iptables", "nftables"]},
        "list": {"items": {"$ref": "#/$defs/item"}},
        "map": {"type": "object"},
    },
    "$defs": {"item": {"properties": {"hostPort": {"type": "integer"}}}},
}


@pytest.fixture
def path(tmp_path: Path) -> str:
    target = tmp_path / "schema.json"
    target.write_text(json.dumps(SCHEMA))
    return str(target)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"mtu": "x"}, r"\$\.mtu: 'x' is not of type integer"),
        ({"mtu": 3}, r"\$\.mtu: 3 is below 68"),
        ({"backend": "ebpf"}, r"\$\.backend: 'ebpf' is not one of 'iptables', 'nftables'"),
        ({"list": [{"hostPort": "80"}]}, r"\$\.list\[0\]\.hostPort: '80'"),
    ],
)
def test_error_names_path_and_value(path: str, document: Any, message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        check(document, path)


def test_error_s_details_are_the_schema_s_own_words(path: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        check({"mtu": 3}, path)
    assert caught.value.details == "the MTU in bytes, 68 or more"


def test_fold_reaches_through_lists_and_references_and_stops_at_maps() -> None:
    folded = normalize_keys({"MTU": 1, "List": [{"HOSTPORT": 2}], "map": {"MTU": 3}}, SCHEMA)
    assert folded == {"mtu": 1, "list": [{"hostPort": 2}], "map": {"MTU": 3}}


def test_later_of_two_spellings_wins_and_null_is_default() -> None:
    assert normalize_keys({"mtu": 1, "MTU": 2}, SCHEMA) == {"mtu": 2}
    assert normalize_keys({"mtu": 1, "MTU": None}, SCHEMA) == {}
