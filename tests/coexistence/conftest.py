"""Ours in a private host; both back ends."""

from __future__ import annotations

import pytest

from tests.harness import ours
from tests.harness.fakehost import FakeHost


@pytest.fixture
def host(host: FakeHost) -> FakeHost:
    """A private host with our executables."""
    ours.install(host)
    return host


@pytest.fixture(params=["nftables", "iptables"])
def backend(request: pytest.FixtureRequest) -> str:
    """Who masquerades and publishes."""
    return str(request.param)
