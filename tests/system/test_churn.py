"""Containers that come and go, in a short form of what `./dev soak` does for minutes."""

from __future__ import annotations

import os
import random

import pytest

from tests.churn import churn
from tests.harness import ours
from tests.harness.privatehost import PrivateHost

pytestmark = [pytest.mark.root, pytest.mark.slow]


def test_churn_leaves_nothing_and_gives_no_address_twice(host: PrivateHost) -> None:
    """Forty containers from four processes for twelve seconds."""
    seed = int(os.environ.get("LINKSPAN_SEED", "0")) or random.randrange(1 << 32)
    ours.install(host)
    with ours.resident(host):
        churn(host, containers=4, processes=2, seconds=2, seed=seed)
        before = host.snapshot(ignore=ours.STAYS)
        tally = churn(host, containers=40, processes=4, seconds=12, seed=seed)
        left = before.diff(host.snapshot(ignore=ours.STAYS))
    assert (tally.faults, left) == ((), []), f"LINKSPAN_SEED={seed}"
    assert tally.adds > 40
