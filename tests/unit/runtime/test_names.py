"""Names and identifiers that nerdctl and podman have too."""

from __future__ import annotations

import pytest

from linkspan.runtime import names


def test_the_id_of_a_network_is_nerdctls() -> None:
    # nerdctl's own network `bridge` (tests/captures)
    assert names.network_id("bridge") == "17f29b073143d8cd97b5bbe492bdeffec1c5fee55cc1fe2112c8b9335f8b6121"


@pytest.mark.parametrize("name", ["host", "none"])
def test_the_ids_of_predefined_networks_are_those_of_their_names(name: str) -> None:
    assert names.PREDEFINED_IDS[name] == names.network_id(name)


def test_the_bridge_of_a_network_is_nerdctls() -> None:
    assert names.default_bridge("n1") == "br-676b8bb84ce7"


@pytest.mark.parametrize("name", ["ab", "my-net_1.2", "0x", "A" * 128])
def test_a_name_that_every_runtime_takes_is_valid(name: str) -> None:
    assert names.is_valid(name)


@pytest.mark.parametrize("name", ["", "a", "-a", ".a", "a b", "a/b", "ä1", "a\n", "A" * 129])
def test_a_name_that_a_runtime_refuses_is_invalid(name: str) -> None:
    assert not names.is_valid(name)


def test_a_mistyped_word_is_like_known_ones() -> None:
    assert names.similar("custm", ["custom", "bridge", "costume"]) == ["custom", "costume"]
