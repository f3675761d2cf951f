"""What a DNS name looks like."""

from __future__ import annotations

import pytest

from cni_dns.server.names import is_name, normalized, not_a_name, qualified


@pytest.mark.parametrize("text", ["a", "a.b", "tomcat-8", "_srv", "9", "a" * 63, ".".join(["a" * 63] * 3)])
def test_a_name_is_one(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "A", "a b", "ä", "a" * 64, "a." * 127])
def test_what_is_no_name_is_none(text: str) -> None:
    assert not is_name(text)


def test_a_name_is_read_without_case_and_final_dot() -> None:
    assert normalized("Web.Example.") == "web.example"


@pytest.mark.parametrize("text", ["", "a b", "\u212a", "x" * 64])
def test_a_text_that_is_no_name_is_told_with_its_place(text: str) -> None:
    assert normalized(text) == ""
    assert not_a_name(text, "$.here").startswith("$.here: ")
    assert len(not_a_name(text, "$.here")) <= 120


def test_a_name_is_qualified_by_each_domain_that_leaves_it_a_name() -> None:
    too_long = ".".join(["a" * 60] * 4)
    assert qualified("web", ("net", too_long + ".aaaaaa", "net")) == ("web", "web.net")
