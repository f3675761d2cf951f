"""Which network a word means."""

from __future__ import annotations

import json

import pytest

from linkspan.runtime.catalogue import Catalogue
from linkspan.runtime.errors import AmbiguousNetwork, NoSuchNetwork
from linkspan.runtime.lists import NetworkList, parse


def one(name: str, namespace: str = "", identifier: str = "") -> NetworkList:
    document = {
        "name": name,
        "plugins": [{"type": "bridge"}],
        **({"nerdctlID": identifier} if identifier else {}),
    }
    return parse(json.dumps(document).encode(), f"/net/{namespace}/{name}.conflist", namespace=namespace)


def catalogue(*lists: NetworkList) -> Catalogue:
    return Catalogue(lists, "default")


def test_networks_come_in_dockers_order_with_host_and_none() -> None:
    found = catalogue(one("net10"), one("net2"), one("custom"), one("Zoo"))
    assert [each.name for each in found.all] == ["Zoo", "custom", "host", "net2", "net10", "none"]


def test_a_network_is_found_by_its_name() -> None:
    assert catalogue(one("web")).find("web").name == "web"
    assert catalogue().find("host").driver == "host"


@pytest.mark.parametrize("length", [64, 12, 3])
def test_a_network_is_found_by_the_beginning_of_its_id(length: int) -> None:
    assert catalogue(one("web", identifier="abc" + "0" * 61)).find(("abc" + "0" * 61)[:length]).name == "web"


def test_a_name_wins_over_an_id() -> None:
    found = catalogue(one("abc"), one("web", identifier="abc" + "0" * 61))
    assert found.find("abc").name == "abc"


def test_of_two_networks_of_one_name_that_of_the_own_namespace_is_meant() -> None:
    lists = (one("web"), one("web", "k8s.io"), one("web", "default"))
    assert catalogue(*lists).find("web").namespace == "default"
    assert catalogue(*lists[:2]).find("web").namespace == ""
    assert catalogue(*lists).find("k8s.io/web").namespace == "k8s.io"


def test_an_ambiguous_id_lists_the_candidates() -> None:
    found = catalogue(one("web", identifier="ab1" + "0" * 61), one("db", identifier="ab2" + "0" * 61))
    with pytest.raises(AmbiguousNetwork) as caught:
        found.find("ab")
    assert {each.split()[0] for each in caught.value.by} == {"web", "db"}


def test_a_mistyped_name_is_answered_with_the_one_that_was_meant() -> None:
    with pytest.raises(NoSuchNetwork) as caught:
        catalogue(one("custom")).find("custum")
    assert "custom" in caught.value.fix


@pytest.mark.parametrize("word", ["", "nothing-like-it", "default/web"])
def test_an_unknown_word_is_not_found(word: str) -> None:
    with pytest.raises(NoSuchNetwork):
        catalogue(one("web")).find(word)


def test_a_list_that_only_the_cache_has_is_shown_beside_the_others() -> None:
    found = catalogue(one("web")).with_cached([one("web"), one("lost")])
    assert [each.name for each in found.all] == ["host", "lost", "none", "web"]
