"""DEL and GC withdraw everything, whatever happened to record and links."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from linkspan.call.records import Records
from linkspan.cni.errors import KernelRefused
from linkspan.cni.model import Attachment
from linkspan.host.memory.links import MemoryLinks
from tests.harness.portmap import PortmapDesk

DAMAGED: list[dict[str, Any]] = [
    {},
    {"backend": "ebtables"},
    {"config": [], "address4": 3},
    {"config": {"mappings": [{"host_port": "x"}]}},
    {"address4": "nonsense"},
]


@pytest.mark.parametrize("gone", [True, False], ids=["the link went meanwhile", "the link is there"])
def test_del_minds_a_port_it_cannot_reset_only_while_it_is_there(
    desk: PortmapDesk, monkeypatch: pytest.MonkeyPatch, *, gone: bool
) -> None:
    links = desk.host.namespace("/proc/self/ns/net")
    links.sysctls["bridge/bridge-nf-call-iptables"] = "1"
    desk.call("ADD")

    def refuse(_: MemoryLinks, name: str, **__: Any) -> None:
        if gone:
            links.delete(name)
        raise KernelRefused(f"change the bridge port {name}", errno.ENODEV)

    monkeypatch.setattr(MemoryLinks, "change_port", refuse)
    answer = desk.call("DEL")
    assert (answer.status, Records(desk.host, "portmap").read(Attachment("net", "c1", "eth0")) is None) == (
        (0, True) if gone else (1, False)
    )


@pytest.mark.parametrize("verb", ["DEL", "GC"])
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_record_keeps_nothing_from_being_removed(
    desk: PortmapDesk, damage: dict[str, Any], verb: str
) -> None:
    before = desk.own()
    desk.call("ADD")
    attachment, records = Attachment("net", "c1", "eth0"), Records(desk.host, "portmap")
    whole = records.read(attachment)
    assert whole is not None
    records.write(attachment, {**whole, **damage} if damage else {})
    answer = desk.call("DEL") if verb == "DEL" else desk.call("GC", **{"cni.dev/valid-attachments": []})
    assert (answer.status, desk.own()) == (0, before)
