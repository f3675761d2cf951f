"""Errors of the command read alike."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from linkspan.runtime import errors
from linkspan.runtime.errors import CommandError, NetworkInUse

CLASSES = [
    each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, CommandError)
]
PAGE = Path(__file__).resolve().parents[3] / "docs" / "networks.md"


def test_an_error_says_what_by_whom_and_what_to_do() -> None:
    error = NetworkInUse("network web is in use", by=["container a", "container b"], fix="stop them")
    assert str(error).splitlines() == [
        "network web is in use (LS-N003)",
        "  by:  container a",
        "       container b",
        "  fix: stop them",
    ]


def test_an_error_may_be_a_single_line() -> None:
    assert str(CommandError("it failed")) == "it failed (LS-G001)"


def test_every_class_has_a_code_of_its_own() -> None:
    codes = [each.code for each in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"LS-[A-Z]\d{3}", each) for each in codes)


@pytest.mark.parametrize("error", CLASSES)
def test_every_code_is_on_the_page_of_errors_with_its_exit_status(error: type[CommandError]) -> None:
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| {error.code} |"))
    assert row.split("|")[2].strip() == str(error.status)
