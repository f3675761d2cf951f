"""What the configuration of dns asks for."""

from __future__ import annotations

import pytest

from cni_dns.config import aliases_for


@pytest.mark.parametrize(
    ("value", "aliases"),
    [
        (["a", "b"], ("a", "b")),
        ({"net": ["c"], "other": ["d"]}, ("c",)),
        ({"net": None}, ()),
        (None, ()),
        ({}, ()),
    ],
)
def test_aliases_are_a_list_or_the_network_s_entry_of_a_map(value: object, aliases: tuple[str, ...]) -> None:
    assert aliases_for("net", value) == aliases
