"""Whatever request of the host is refused or killed at, firewall leaves nothing that DEL does not find."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from linkspan.host.memory import Killed
from tests.harness.firewall import box, call, own


def requests_of_add(**keys: Any) -> list[tuple[str, int]]:
    """Everything that changes anything and that ADD asks of the host."""
    host = box()
    before = len(host.requests)
    call(host, "ADD", **keys)
    return [
        each
        for each in host.requests[before:]
        if each[0] in ("files.write", "iptables.apply_all", "links.change_port")
    ]


@pytest.mark.parametrize(
    "refused", requests_of_add(ingressPolicy="isolated"), ids=lambda each: f"{each[0]}-{each[1]}"
)
def test_add_that_is_refused_anything_leaves_nothing_of_its_own(refused: tuple[str, int]) -> None:
    host = box()
    host.refuse[refused] = errno.ENOSPC if refused[0].startswith("files.") else errno.EPERM
    assert "code" in call(host, "ADD", ingressPolicy="isolated")
    assert own(host) == frozenset()


def all_requests_of_add() -> list[tuple[str, int]]:
    host = box()
    before = len(host.requests)
    call(host, "ADD", ingressPolicy="isolated")
    return host.requests[before:]


@pytest.mark.parametrize("moment", all_requests_of_add(), ids=lambda each: f"{each[0]}-{each[1]}")
def test_add_killed_at_any_moment_and_deleted_without_prev_result_leaves_nothing(
    moment: tuple[str, int],
) -> None:
    host = box()

    host.dies_at = moment
    with pytest.raises(Killed):
        call(host, "ADD", ingressPolicy="isolated")
    host.revive()
    assert call(host, "DEL", prev=None) == {}
    assert own(host) == frozenset()
