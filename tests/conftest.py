"""Fixtures for every test: a private host, and the rule that what needs root is skipped without it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.harness import tools
from tests.harness.privatehost import PrivateHost
from tests.harness.runtimes_table import pytest_terminal_summary

__all__ = ["host", "pytest_runtest_setup", "pytest_terminal_summary"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `root` for an ordinary user; fail it where nothing may be skipped."""
    if item.get_closest_marker("root") is not None and os.geteuid() != 0:
        tools.skip("needs root")


@pytest.fixture
def host() -> Iterator[PrivateHost]:
    """A private host for one test; mark the test `root`."""
    with PrivateHost() as made:
        yield made
