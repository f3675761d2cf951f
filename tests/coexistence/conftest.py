"""Ours in a private host, with warm workers; both back ends."""

from __future__ import annotations

import pytest

from tests.harness import ours
from tests.harness.fakehost import FakeHost


@pytest.fixture
def host(host: FakeHost) -> FakeHost:
    """A private host with our executables and a resident, which ends with it."""
    ours.install(host)
    ours.linkspan(host, "resident", "start")
    return host


@pytest.fixture(params=["nftables", "iptables"])
def backend(request: pytest.FixtureRequest) -> str:
    """Who masquerades and publishes."""
    return str(request.param)
