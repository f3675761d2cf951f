"""YAML that other programs read back as it was."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from linkspan.cli.output.yaml import to_yaml

VALUES: list[Any] = [
    {"Name": "web", "IPv6": True, "MTU": 0, "Labels": {}, "Ports": [], "None": None},
    [{"a": 1, "b": {"c": ["x", {"d": "y"}]}}, [1, [2]], "text"],
    {"yes": "no", "on": "null", "~": "1.5", "a: b": "- x", "#c": "'q\"", "": " lead", "t": "tail "},
    {"time": "2026-11-26T04:56:17Z", "cidr": "10.0.0.0/8", "v6": "fd00::/64"},
    {"path": "/etc/cni", "u": "ü\n"},
    {"list": [{"x": 1}, {"x": 2}], "empty": [{}, []]},
    "plain",
    [],
]


def test_a_document_is_in_block_style() -> None:
    assert to_yaml([{"Name": "web", "Labels": {"env": "prod"}, "Ports": [80]}]) == (
        "- Name: web\n  Labels:\n    env: prod\n  Ports:\n    - 80\n"
    )


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_value_is_read_back_as_it_was(value: Any) -> None:
    assert yaml.safe_load(to_yaml(value)) == value
