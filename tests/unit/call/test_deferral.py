"""DEL without a namespace: what lives keeps everything until it ends, what is dead loses it at once."""

from __future__ import annotations

import errno
import json
from typing import Any

import pytest

from linkspan import paths
from linkspan.call import deferral
from linkspan.call.records import Records
from linkspan.host.memory import MemoryHost
from tests.harness.bridge import ONE, VETH, links, own_objects
from tests.harness.memory import BOX, Desk, SpyIpam

NARROW = {"type": "host-local", "ranges": [[{"subnet": "10.5.0.0/29", "rangeEnd": "10.5.0.2"}]]}
BRIDGE: dict[str, Any] = {
    "type": "bridge",
    "bridge": "br0",
    "isDefaultGateway": True,
    "ipMasq": True,
    "ipMasqBackend": "nftables",
    "ipam": NARROW,
}
PORTS = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
OTHER = "/run/netns/other"


class Node(Desk):
    """A host with a container on a list of four plugins."""

    def __init__(self, **bridge: Any) -> None:
        super().__init__(MemoryHost())
        self.bridge = {**BRIDGE, **bridge}
        self._make_what_is_shared()

    def add(self, **call: Any) -> None:
        """The list's ADD."""
        assert self.call("ADD", self.bridge, **call).status == 0
        for config in self.chained():
            assert self.call("ADD", config, **call).status == 0

    def delete(self, netns: str = "", **call: Any) -> None:
        """The list's DEL, as a runtime sends it: last plugin first."""
        for config in (*reversed(self.chained()), self.bridge):
            answer = self.call("DEL", config, netns=netns, **call)
            assert (answer.status, answer.document) == (0, {})

    def chained(self) -> list[dict[str, Any]]:
        """What follows bridge."""
        portmap = {"type": "portmap", "backend": "nftables", "runtimeConfig": PORTS}
        firewall = {"type": "firewall", "backend": "nftables"}
        return [
            {**each, "prevResult": self.result}
            for each in (portmap, firewall, {"type": "tuning", "mtu": 1400})
        ]

    def kept(self) -> list[str]:
        """The plugins whose DEL is kept, in order."""
        return [each.plugin for each in deferral.all_kept(self.host.files, self.host.state_dir)]

    def left(self) -> list[str]:
        """What there is of the container c1."""
        return [
            *own_objects(self),
            *(line for line in self.host.state() if " 8080" in line or "8080 " in line),
        ]

    def _make_what_is_shared(self) -> None:
        """An ADD and a DEL, which make what attachments share."""
        self.add()
        self.delete(BOX)
        assert self.left() == []


@pytest.fixture
def node() -> Node:
    return Node()


def test_a_living_container_keeps_all_it_has(node: Node) -> None:
    node.add()
    before = node.host.state()
    node.delete()
    assert [
        line for line in before ^ node.host.state() if "/deferred/" not in line and "/locks/" not in line
    ] == []
    assert node.kept() == ["tuning", "firewall", "portmap", "bridge"]


def test_its_address_is_given_to_nobody_else(node: Node) -> None:
    node.add()
    node.delete()
    node.host.add_netns(OTHER)
    assert node.call("ADD", node.bridge, container_id="c2", netns=OTHER).code == 102


def test_such_a_del_can_be_repeated(node: Node) -> None:
    node.add()
    node.delete()
    node.delete()
    assert node.kept() == ["tuning", "firewall", "portmap", "bridge"]


def test_check_still_succeeds(node: Node) -> None:
    node.add()
    node.delete()
    assert node.call("CHECK", node.bridge).status == 0


def test_the_next_call_after_the_containers_end_removes_everything(node: Node) -> None:
    node.add()
    node.delete()
    node.host.del_netns(BOX)
    node.host.add_netns(OTHER)
    assert (
        node.call(
            "ADD", {**node.bridge, "args": {"cni": {"ips": ["10.5.0.2"]}}}, container_id="c2", netns=OTHER
        ).status
        == 0
    )
    assert node.kept() == []
    assert node.call("DEL", node.bridge, container_id="c2", netns=OTHER).status == 0
    assert node.left() == []


def test_one_that_is_being_taken_down_frees_all_at_once(node: Node) -> None:
    """Its links may be there for a while: the kernel takes a namespace down behind the scenes."""
    node.add()
    node.host.abandon_netns(BOX)
    assert links(node).get(VETH) is not None
    node.delete()
    assert (node.left(), node.kept()) == ([], [])


def test_a_del_after_the_containers_end_removes_everything_and_is_kept_no_longer(node: Node) -> None:
    node.add()
    node.delete()
    node.host.abandon_netns(BOX)
    node.delete()
    assert (node.left(), node.kept()) == ([], [])


def test_a_del_that_names_the_namespace_detaches_at_once(node: Node) -> None:
    node.add()
    node.delete()
    node.delete(BOX)
    assert (node.left(), node.kept()) == ([], [])
    assert node.host.namespace(BOX).get("eth0") is None


def test_a_new_add_comes_after_the_del(node: Node) -> None:
    """As the runtime sees it, the attachment is gone: it may be made again, where it was."""
    node.add()
    node.delete()
    node.add()
    assert node.kept() == []
    node.delete(BOX)
    assert node.left() == []


def test_a_new_add_in_a_new_namespace_comes_after_the_del(node: Node) -> None:
    node.add()
    node.delete()
    node.host.add_netns(OTHER)
    node.add(netns=OTHER)
    assert (node.kept(), node.host.namespace(BOX).get("eth0")) == ([], None)
    node.host.abandon_netns(BOX)
    node.host.del_netns(OTHER)
    node.delete()
    assert node.left() == []


def test_a_kept_del_never_touches_what_was_attached_later(node: Node) -> None:
    """Should it come back although an ADD has settled it."""
    node.add()
    node.delete()
    folder = paths.deferred(node.host.state_dir)
    files = {
        f"{folder}/{name}": node.host.files.read(f"{folder}/{name}") or b""
        for name in node.host.files.names(folder)
    }
    node.host.abandon_netns(BOX)
    node.host.add_netns(OTHER)
    node.add(netns=OTHER)
    for path, content in files.items():
        node.host.files.write(path, content)
    before = node.host.state()
    deferral.finish(node.host)
    assert node.kept() == []
    assert {line for line in before ^ node.host.state() if "/deferred/" not in line} == set()


def test_gc_spares_what_lives_and_collects_what_has_ended(node: Node) -> None:
    node.add()
    node.delete()
    nobody: dict[str, Any] = {"cni.dev/valid-attachments": []}
    for config in (node.bridge, *node.chained()):
        assert node.call("GC", {**config, **nobody}).status == 0
    assert (node.kept(), node.call("CHECK", node.bridge).status) == (
        ["tuning", "firewall", "portmap", "bridge"],
        0,
    )
    node.host.abandon_netns(BOX)
    assert node.call("GC", {**node.bridge, **nobody}).status == 0
    assert (node.left(), node.kept()) == ([], [])


def test_gc_of_a_foreign_ipam_is_told_whom_to_spare() -> None:
    desk = Desk(MemoryHost())
    spy = SpyIpam()
    desk.program("spy", spy)
    config = {**BRIDGE, "ipam": {"type": "spy"}}
    assert desk.call("ADD", config).status == 0
    assert desk.call("DEL", config, netns="").status == 0
    assert spy.verbs == ["ADD"]
    assert desk.call("GC", {**config, "cni.dev/valid-attachments": []}).status == 0
    (asked,) = (each for each in desk.host.processes.ran if each.env["CNI_COMMAND"] == "GC")
    assert json.loads(asked.stdin)["cni.dev/valid-attachments"] == [{"containerID": "c1", "ifname": "eth0"}]


def test_one_that_fails_is_told_and_kept_and_tried_again_by_gc() -> None:
    desk = Desk(MemoryHost())
    spy = SpyIpam()
    desk.program("spy", spy)
    config = {**BRIDGE, "ipam": {"type": "spy"}}
    assert desk.call("ADD", config).status == 0
    assert desk.call("DEL", config, netns="").status == 0
    desk.host.abandon_netns(BOX)
    spy.fails = {"DEL"}
    deferral.finish(desk.host)
    deferral.finish(desk.host)
    assert spy.verbs == ["ADD", "DEL"], "it was tried again too soon"
    assert desk.host.warnings == [
        "bridge: DEL of container c1 (eth0) on network net, which has ended, failed: spy fails DEL"
    ]
    spy.fails = set()
    deferral.finish(desk.host, again=True)
    assert (spy.leases, deferral.all_kept(desk.host.files, desk.host.state_dir)) == (set(), [])


@pytest.mark.parametrize("sandbox", [None, "garbage"])
def test_an_attachment_of_an_earlier_build_is_deleted_at_once(node: Node, sandbox: Any) -> None:
    node.add()
    records = Records(node.host, "bridge")
    record = records.read(ONE)
    assert record is not None
    records.write(ONE, {**record, "sandbox": sandbox})
    node.delete()
    assert (node.left(), node.kept()) == ([], [])


def test_what_is_not_a_whole_file_counts_as_none(node: Node) -> None:
    node.add()
    node.delete()
    folder = paths.deferred(node.host.state_dir)
    for number, name in enumerate(node.host.files.names(folder)):
        node.host.files.write(f"{folder}/{name}", [b"", b"[]", b'{"plugin": 1}', b'{"sandbox": {}}'][number])
    assert node.kept() == []
    deferral.finish(node.host, again=True)
    node.delete(BOX)
    assert (node.left(), node.host.files.names(folder)) == ([], ())


def test_what_cannot_be_told_is_an_error_and_nothing_is_removed(node: Node) -> None:
    node.add()
    before = node.host.state()
    node.host.refuse = {"namespaces.is_held": errno.EMFILE}
    assert node.call("DEL", node.bridge, netns="").code == 101
    assert {line for line in before ^ node.host.state() if "/locks/" not in line} == set()


def test_a_del_of_a_dead_container_looks_for_nobody(node: Node) -> None:
    node.add()
    node.host.del_netns(BOX)
    node.host.revive()
    node.delete()
    assert "namespaces.is_held" not in [request for request, _ in node.host.requests]
