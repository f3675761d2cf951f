"""What the tests of bridge share."""

from __future__ import annotations

import pytest

from tests.harness.memory import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()
