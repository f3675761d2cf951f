"""Containers that come and go, in a short form of what `./dev soak` does for minutes."""

from __future__ import annotations

import pytest

from tests.churn import churn
from tests.harness import ours
from tests.harness.privatehost import PrivateHost
from tests.harness.scale import SEED

pytestmark = pytest.mark.root


def test_churn_leaves_nothing_and_gives_no_address_twice(host: PrivateHost) -> None:
    """Forty containers from four processes for twelve seconds."""
    ours.install(host)
    with ours.resident(host):
        churn(host, containers=4, processes=2, seconds=2, seed=SEED)
        before = host.snapshot(ignore=ours.STAYS)
        tally = churn(host, containers=40, processes=4, seconds=12, seed=SEED)
        left = before.diff(host.snapshot(ignore=ours.STAYS))
    assert (tally.faults, left) == ((), []), f"LINKSPAN_SEED={SEED}"
    assert tally.adds > 40
