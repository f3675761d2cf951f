"""Ours in a private host, with warm workers; both back ends."""

from __future__ import annotations

import pytest

from tests.harness import ours
from tests.harness.privatehost import PrivateHost
from tests.harness.scale import WHOLE


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs the Docker engine, counted as deselected, unless it is asked for."""
    left_out = [each for each in items if each.get_closest_marker("docker")]
    if left_out and not WHOLE:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [each for each in items if each not in left_out]


@pytest.fixture
def host(host: PrivateHost) -> PrivateHost:
    """A private host with our executables and a resident, which ends with it."""
    ours.install(host)
    ours.linkspan(host, "resident", "start")
    return host


@pytest.fixture(params=["nftables", "iptables"])
def backend(request: pytest.FixtureRequest) -> str:
    """Who masquerades and publishes."""
    return str(request.param)
