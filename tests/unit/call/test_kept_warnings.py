"""What a plugin warned of is kept with the attachment until that is gone."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from linkspan.call.kept_warnings import kept
from linkspan.call.records import Records
from linkspan.cni.model import Attachment
from linkspan.host.memory import MemoryHost
from tests.harness.memory import Desk

C1, C2 = Attachment("net", "c1", "eth0"), Attachment("net", "c2", "eth0")
IPAM = {"type": "host-local", "ranges": [[{"subnet": "10.5.0.0/24"}]]}
#: Two keys with a letter too few, one in the part that host-local reads.
WARNS: dict[str, Any] = {"type": "bridge", "isDefaultGatway": True, "ipam": {**IPAM, "dataDr": "/x"}}
CONTENT: dict[str, Any] = {"type": "bridge", "ipam": IPAM}
ARGS = "IgnoreUnknown"


@pytest.fixture
def desk() -> Desk:
    return Desk()


def sentences(desk: Desk, attachment: Attachment = C1) -> list[str]:
    return list(kept(desk.host).get(attachment, ()))


def test_warnings_of_add_are_kept_those_of_its_ipam_too(desk: Desk) -> None:
    assert desk.call("ADD", WARNS, args=ARGS).status == 0
    assert sentences(desk) == desk.host.warnings
    assert {each.partition(":")[0] for each in sentences(desk)} == {"bridge", "host-local"}
    assert any("CNI_ARGS" in each for each in sentences(desk))


def test_without_warnings_nothing_is_written(desk: Desk) -> None:
    desk.call("ADD", CONTENT)
    desk.call("CHECK", CONTENT)
    assert not [each for each in desk.host.state() if "warnings" in each]


def test_failed_add_keeps_nothing(desk: Desk) -> None:
    desk.host.refuse = {"files.write": errno.ENOSPC}
    assert desk.call("ADD", WARNS).status == 1
    assert (kept(desk.host), bool(desk.host.warnings)) == ({}, True)


def test_del_forgets_them(desk: Desk) -> None:
    desk.call("ADD", WARNS)
    desk.host.add_netns("/run/netns/two")
    desk.call("ADD", WARNS, container_id="c2", netns="/run/netns/two")
    desk.call("DEL", CONTENT)
    assert (sentences(desk), bool(sentences(desk, C2))) == ([], True)


def test_gc_forgets_those_of_attachments_that_are_not_valid(desk: Desk) -> None:
    desk.call("ADD", WARNS)
    valid = [{"containerID": "c1", "ifname": "eth0"}]
    desk.call("GC", {**CONTENT, "cni.dev/valid-attachments": valid})
    while_valid = sentences(desk)
    desk.call("GC", CONTENT)
    unknown = sentences(desk)
    desk.call("GC", {**CONTENT, "cni.dev/valid-attachments": []})
    assert while_valid == unknown != []
    assert sentences(desk) == []


def test_add_and_check_replace_their_own(desk: Desk) -> None:
    portmap = {"type": "portmap", "backend": "nftables"}
    ports = {"runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80}]}}
    desk.call("ADD", CONTENT)
    chained = {**portmap, **ports, "prevResult": desk.result}
    desk.host.listen("tcp", 8080)
    desk.call("ADD", {**chained, "marksMasqBit": 1})
    of_add = sentences(desk)
    desk.call("CHECK", chained)
    with_listener = sentences(desk)
    desk.host.listeners.clear()
    desk.call("CHECK", chained)
    without = sentences(desk)
    desk.call("ADD", {**chained, "backendd": True})
    assert (len(of_add), with_listener, without) == (2, of_add, of_add)
    assert ["backendd" in each for each in sentences(desk)] == [True]


def test_check_without_warnings_removes_those_of_the_one_before(desk: Desk) -> None:
    portmap = {"type": "portmap", "backend": "nftables"}
    ports = {"runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80}]}}
    desk.call("ADD", CONTENT)
    chained = {**portmap, **ports, "prevResult": desk.result}
    desk.call("ADD", chained)
    desk.host.listen("tcp", 8080)
    desk.call("CHECK", chained)
    before = sentences(desk)
    desk.host.listeners.clear()
    desk.call("CHECK", chained)
    assert ([("listens" in each) for each in before], sentences(desk)) == ([True], [])


@pytest.mark.parametrize("request_", ["files.write", "files.remove"])
def test_state_that_cannot_be_written_stops_neither_add_nor_del(request_: str) -> None:
    desk = Desk()
    desk.call("ADD", {"type": "loopback"}, ifname="lo")
    desk.host.refuse = {request_: errno.ENOSPC}
    assert desk.call("ADD", {"type": "loopback"}, ifname="lo", args=ARGS).status == 0
    assert desk.call("DEL", {"type": "loopback"}, ifname="lo").status == 0
    assert any(each.startswith("warnings are not kept: ") for each in desk.host.warnings)


def test_damaged_record_is_left_out() -> None:
    host = MemoryHost()
    contents: tuple[dict[str, Any], ...] = ({}, {"ADD": "no list"}, {"ADD": [1, None, "whole"], "CHECK": {}})
    for plugin, content in zip(("dns", "firewall", "bridge"), contents, strict=True):
        Records(host, f"warnings/{plugin}").write(C1, content)
    host.files.write(f"{host.state_dir}/records/warnings/portmap/{C1.key}.json", b"{")
    assert kept(host) == {C1: ("whole",)}
