"""What the tests of portmap share."""

from __future__ import annotations

import pytest

from tests.harness.portmap import BACKENDS, PortmapDesk


@pytest.fixture(params=BACKENDS)
def desk(request: pytest.FixtureRequest) -> PortmapDesk:
    return PortmapDesk(request.param)
