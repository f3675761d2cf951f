"""Filters select what Docker's select."""

from __future__ import annotations

import json
from typing import Any

import pytest

from linkspan.runtime.labels import LS_KEYS, PRUNE_KEYS, InvalidFilter, matches, parse_filters, parse_pairs
from linkspan.runtime.lists import parse
from linkspan.runtime.network import Network, without_list


def network(name: str = "web", *, changed: int = 0, **document: Any) -> Network:
    whole = {"name": name, "plugins": [{"type": "bridge"}], **document}
    return Network(parse(json.dumps(whole).encode(), f"/net/{name}.conflist", changed=changed))


WEB = network("web", nerdctlID="ab" * 32, nerdctlLabels={"env": "prod", "team": "a"})
HOST = without_list("host")


def passes(*words: str, of: Network = WEB, used: bool = False, known: tuple[str, ...] = LS_KEYS) -> bool:
    return matches(of, parse_filters(words, known), lambda _: used)


@pytest.mark.parametrize(
    "word",
    [
        "name=web",
        "name=^w",
        "id=abab",
        "driver=bridge",
        "scope=local",
        "type=custom",
        "label=env",
        "label=env=prod",
        "dangling=true",
        "dangling=1",
    ],
)
def test_a_matching_filter_selects(word: str) -> None:
    assert passes(word)


@pytest.mark.parametrize(
    "word",
    [
        "name=db",
        "name=(",
        "id=ff",
        "driver=brid",
        "scope=swarm",
        "type=builtin",
        "label=en",
        "label=env=test",
        "dangling=false",
    ],
)
def test_a_filter_that_does_not_match_selects_nothing(word: str) -> None:
    assert not passes(word)


def test_values_of_one_key_are_alternatives_but_labels_must_all_match() -> None:
    assert passes("name=db", "name=web")
    assert not passes("label=env", "label=nope")


def test_different_keys_must_all_match() -> None:
    assert not passes("name=web", "driver=host")


def test_a_used_network_is_not_dangling() -> None:
    assert not passes("dangling=true", used=True)
    assert passes("dangling=false", used=True)


def test_predefined_networks_are_builtin_and_never_dangling() -> None:
    assert passes("type=builtin", of=HOST)
    assert passes("dangling=false", of=HOST)


def test_prune_leaves_out_what_has_a_label() -> None:
    assert not passes("label!=env", known=PRUNE_KEYS)
    assert passes("label!=env=test", known=PRUNE_KEYS)


def test_until_compares_the_time_of_creation() -> None:
    filters = parse_filters(["until=1h"], PRUNE_KEYS)
    assert matches(network(changed=5), filters, lambda _: False, before=5)
    assert not matches(network(changed=6), filters, lambda _: False, before=5)


@pytest.mark.parametrize("word", ["name", "nme=x", "dangling=maybe", "type=other", "until=1h"])
def test_a_filter_that_docker_refuses_is_refused(word: str) -> None:
    with pytest.raises(InvalidFilter):
        passes(word)


def test_a_pair_without_a_value_has_an_empty_one() -> None:
    assert parse_pairs(["a=b=c", "d"]) == {"a": "b=c", "d": ""}
