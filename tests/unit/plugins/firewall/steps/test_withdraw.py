"""DEL and GC withdraw everything, whatever happened to the record."""

from __future__ import annotations

from typing import Any

import pytest

from linkspan.call.records import Records
from linkspan.cni.model import Attachment
from tests.harness.firewall import PREV, box, call, own, rules


@pytest.mark.parametrize(
    ("valid", "stays"),
    [(None, True), ([], False), ([{"containerID": "c1", "ifname": "eth0"}], True)],
    ids=["no list", "empty list", "in the list"],
)
def test_gc_withdraws_unknown_attachments(valid: Any, stays: bool) -> None:
    host = box()
    call(host, "ADD")
    call(host, "GC", valid=valid)
    assert bool(own(host)) == stays


@pytest.mark.parametrize("verb", ["DEL", "GC"])
@pytest.mark.parametrize(
    "damage", [{"backend": "pf"}, {"addresses": "10.1.0.2"}, {"addresses": ["x"]}, {"policy": 1}]
)
def test_a_damaged_record_keeps_nothing_from_being_removed(damage: dict[str, Any], verb: str) -> None:
    host = box()
    before = own(host)
    call(host, "ADD", backend="iptables")
    attachment, records = Attachment("n1", "c1", "eth0"), Records(host, "firewall")
    records.write(attachment, {**(records.read(attachment) or {}), **damage})
    assert call(host, verb, prev=None, valid=[] if verb == "GC" else None) == {}
    assert own(host) == before


def test_add_again_with_another_address_takes_the_first_back() -> None:
    host = box()
    call(host, "ADD")
    other = {**PREV, "ips": [{"address": "10.1.0.3/24", "interface": 2}]}
    call(host, "ADD", prev=other)
    assert "10.1.0.2/32" not in str(rules(host))
