"""The configuration of firewall: what is refused, and by which verb."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.firewall import PREV, box, call, own


@pytest.mark.parametrize(
    ("key", "value"), [("backend", "pf"), ("ingressPolicy", "closed"), ("iptablesAdminChainName", "-x")]
)
@pytest.mark.parametrize("verb", ["ADD", "CHECK"])
def test_unknown_value_is_refused_and_named(verb: str, key: str, value: str) -> None:
    answered = call(box(), verb, **{key: value})
    assert answered["code"] == 7
    assert key in answered["msg"]
    assert value in answered["msg"]


@pytest.mark.parametrize(
    "keys",
    [
        {"backend": "pf"},
        {"ingressPolicy": "closed"},
        {"backend": 7},
        {"firewalldZone": []},
        {"iptablesAdminChainName": "!"},
    ],
)
@pytest.mark.parametrize("prev", [None, PREV])
def test_delete_refuses_no_configuration(keys: dict[str, Any], prev: Any) -> None:
    """Case 146."""
    host = box()
    call(host, "ADD")
    assert call(host, "DEL", prev=prev, **keys) == {}
    assert own(host) == frozenset()
