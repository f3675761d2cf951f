"""Acting on an attachment under its lock."""

from __future__ import annotations

import pytest

from linkspan.call.exclusion import exclusively
from linkspan.cni.model import Attachment
from linkspan.host.memory import MemoryHost
from tests.unit.call.test_every_request import SCENARIOS

ONE = Attachment("net", "c1", "eth0")


def test_the_lock_is_held_while_acting_and_given_back() -> None:
    host = MemoryHost()
    held: list[bool] = []
    exclusively(host, "bridge", ONE, lambda: held.append(bool(host.files.held)))
    assert (held, bool(host.files.held)) == ([True], False)


@pytest.mark.parametrize(
    "name", [each for each in SCENARIOS if each not in ("loopback", "host-local", "dns")]
)
def test_gc_locks_each_attachment_that_it_removes(name: str) -> None:
    scenario = SCENARIOS[name]
    desk = scenario.desk()
    assert scenario.call(desk, "ADD").status == 0
    desk.host.revive()
    assert scenario.call(desk, "GC").status == 0
    assert "files.lock_attachment" in {request for request, _ in desk.host.requests}
