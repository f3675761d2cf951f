"""Worlds for tests of published ports: both back ends, with br_netfilter calling them for bridged packets or not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.privatehost import PrivateHost
from tests.harness.world import World, world_of

BACKENDS = ("nftables", "iptables")


@pytest.fixture(
    params=[(each, nf_call) for each in BACKENDS for nf_call in (0, 1)], ids=lambda it: f"{it[0]}-{it[1]}"
)
def world(request: pytest.FixtureRequest, host: PrivateHost) -> Iterator[World]:
    """A world of each kind."""
    backend, nf_call = request.param
    with world_of(host, backend=backend, nf_call=nf_call) as made:
        yield made


@pytest.fixture(params=BACKENDS)
def backend_world(request: pytest.FixtureRequest, host: PrivateHost) -> Iterator[World]:
    """A world of each back end, for what br_netfilter has no part in."""
    with world_of(host, backend=request.param) as made:
        yield made
