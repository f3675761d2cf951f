"""Restoring what the records of every plugin name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from linkspan.call import reload as module
from linkspan.call.plugin import load
from linkspan.call.reload import reload
from linkspan.call.restoring import MadeOf, Restored, Scope, restored
from linkspan.cni.errors import IoFailure
from linkspan.host.contract import Host
from linkspan.host.memory import MemoryHost


def test_without_records_nothing_is_missing() -> None:
    assert reload(MemoryHost()) == ()


def test_guards_come_before_everything_else_and_an_error_stops_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []

    def fail(_: Host, __: Scope) -> Iterable[Restored]:
        order.append("bridge")
        raise IoFailure("no")

    def rest(host: Host, _: Scope) -> Iterable[Restored]:
        order.append("portmap")
        return [restored(host, "portmap", None, lambda: [MadeOf(lambda _: [], lambda _: None)])]

    def guard(_: Host) -> list[MadeOf]:
        order.append("guard")
        return []

    plugins = {
        "bridge": replace(load("bridge"), reload=fail),
        "portmap": replace(load("portmap"), reload=rest, guard=guard),
    }
    monkeypatch.setattr(module, "MODULES", plugins)
    monkeypatch.setattr(module, "load", plugins.__getitem__)
    (found,) = reload(MemoryHost())
    assert order == ["guard", "bridge", "portmap"]
    assert (found.plugin, found.error.msg if found.error else "") == ("bridge", "no")
