"""Which container a word means."""

from __future__ import annotations

import pytest

from linkspan.runtime.container import Container, find, matching, shortest_word
from linkspan.runtime.errors import AmbiguousContainer, NoSuchContainer

WEB = Container(
    runtime="nerdctl",
    id="ab12" + "0" * 60,
    name="web",
    attachment_id=f"default-ab12{'0' * 60}",
    namespace="default",
)
OTHER = Container(
    runtime="nerdctl", id="ab34" + "0" * 60, name="db", attachment_id=f"prod-ab34{'0' * 60}", namespace="prod"
)
PODMANS = Container(runtime="podman", id="cd56" + "0" * 60, name="web", attachment_id="cd56" + "0" * 60)
CTRS = Container(runtime="ctr", id="cache", name="cache", attachment_id="default-cache", namespace="default")
POD = Container(
    runtime="cri",
    id="e" * 64,
    name="site",
    attachment_id="e" * 64,
    namespace="k8s.io",
    pod_namespace="tests",
)
IN_POD = Container(
    runtime="cri",
    id="f" * 64,
    name="site",
    attachment_id="e" * 64,
    namespace="k8s.io",
    pod_namespace="tests",
)
ALL = (WEB, OTHER, PODMANS, CTRS, IN_POD, POD)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("db", OTHER),
        ("cache", CTRS),
        ("ab3", OTHER),
        (WEB.id, WEB),
        ("default/web", WEB),
        ("podman/web", PODMANS),
        ("prod/ab", OTHER),
        ("tests/site", POD),
        ("k8s.io/site", POD),
        ("site", POD),
        ("ffff", IN_POD),
    ],
)
def test_a_word_means_a_container(word: str, meant: Container) -> None:
    assert find(word, ALL) == meant


def test_a_name_goes_before_the_beginning_of_an_id() -> None:
    named = Container(runtime="podman", id="9" * 64, name="ab", attachment_id="9" * 64)
    assert find("ab", (*ALL, named)) == named


def test_an_ambiguous_word_is_an_error_that_lists_the_candidates() -> None:
    with pytest.raises(AmbiguousContainer) as caught:
        find("web", ALL)
    assert caught.value.by == (
        "nerdctl container web (default, ab1200000000)",
        "podman container web (cd5600000000)",
    )
    assert caught.value.fix == "say default/web or podman/web"


def test_what_an_ambiguity_advises_is_not_ambiguous() -> None:
    twin = Container(
        runtime="nerdctl", id="7" * 64, name="db", attachment_id=f"prod-{'7' * 64}", namespace="prod"
    )
    words = [shortest_word(each, (*ALL, twin)) for each in (OTHER, twin)]
    assert words == ["ab3400000000", "777777777777"]


def test_a_mistyped_name_gets_a_suggestion() -> None:
    with pytest.raises(NoSuchContainer) as caught:
        find("cahce", ALL)
    assert (caught.value.what, caught.value.fix) == ("no such container: cahce", "did you mean cache?")


@pytest.mark.parametrize("word", ["", "/", "prod/web", "nowhere/db"])
def test_a_word_that_means_nothing_matches_nothing(word: str) -> None:
    assert matching(word, ALL) == []


def test_only_64_digits_are_shortened() -> None:
    assert (WEB.short_id, CTRS.short_id) == ("ab1200000000", "cache")
