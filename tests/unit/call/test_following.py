"""What `linkspan connect` attached follows its container, on a host in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from linkspan.call import connections
from linkspan.call.records import Records
from linkspan.cni.model import Attachment
from linkspan.host.memory.faults import Killed
from linkspan.runtime import gc
from linkspan.runtime.attachments import Attachments
from linkspan.runtime.connect import Requested, connect
from linkspan.runtime.container import Container
from tests.harness.memory import BOX, Desk
from tests.unit.runtime.world import World

WEB = Container(
    runtime="nerdctl", id="c1", name="web", attachment_id="c1", pid=7, netns=BOX, netns_identity="x"
)
ANCHOR, CONNECTED = Attachment("first", "c1", "eth0"), Attachment("second", "c1", "eth1")


class Running:
    """A container that a runtime has attached to `first`, and `linkspan connect` to `second`."""

    def __init__(self, world: World) -> None:
        self.world, self.host = world, world.host
        world.create("first")
        world.create("second")
        world.attach("first")
        connect(world.network("second"), WEB, Requested(), self.host, "/opt/cni/bin")
        self.first = world.network("first").list

    def addresses(self) -> list[str]:
        """What the container has on `second`."""
        return list(self.host.links(BOX).addresses("eth1"))

    def is_attached(self) -> bool:
        """Whether it is attached to `second`."""
        return self.host.links().get(CONNECTED.host_veth) is not None

    def end(self) -> None:
        """End its processes, and the namespace with them."""
        self.host.del_netns(BOX)

    def call(self, verb: str, netns: str) -> None:
        """The runtime calls the plugins of `first`."""
        desk = Desk.__new__(Desk)
        desk.host, desk.network, desk.version, desk.result = self.host, "first", "1.0.0", {}
        for plugin in self.first.plugins if verb == "ADD" else reversed(self.first.plugins):
            previous = {"prevResult": desk.result} if desk.result else {}
            answer = desk.call(verb, {**plugin, **previous}, netns=netns)
            assert answer.status == 0, answer.document


@pytest.fixture
def web(tmp_path: Path) -> Running:
    return Running(World(tmp_path))


def test_a_container_is_attached_with_the_addresses_that_it_had_when_it_is_started_again(
    web: Running,
) -> None:
    before = web.addresses()
    assert before
    web.end()
    web.call("DEL", "")
    assert Records(web.host, "bridge").read(CONNECTED) is None
    web.host.add_netns(BOX)
    web.call("DEL", "")
    web.call("ADD", BOX)
    assert (web.is_attached(), web.addresses()) == (True, before)


def test_a_living_container_stays_attached_when_a_del_without_namespace_is_sent(web: Running) -> None:
    before = web.addresses()
    web.call("DEL", "")
    assert (web.is_attached(), web.addresses()) == (True, before)


def test_a_del_with_a_namespace_detaches_and_the_next_add_attaches(web: Running) -> None:
    before = web.addresses()
    web.call("DEL", BOX)
    assert not web.is_attached()
    assert connections.of_container(web.host.files, "c1")
    web.call("ADD", BOX)
    assert web.addresses() == before


def test_a_container_that_was_connected_while_it_was_stopped_is_attached_when_it_is_started(
    web: Running,
) -> None:
    web.end()
    web.call("DEL", "")
    connections.remove(web.host.files, CONNECTED)
    stopped = replace(WEB, netns="", pid=0)
    connect(web.world.network("second"), stopped, Requested(ifname="eth1"), web.host, "/opt/cni/bin")
    web.host.add_netns(BOX)
    web.call("DEL", "")
    web.call("ADD", BOX)
    assert web.is_attached()
    assert connections.of_container(web.host.files, "c1")[0].anchor == ("first", "eth0")


def test_another_attachment_of_the_container_is_not_the_anchor(web: Running) -> None:
    web.end()
    web.host.add_netns(BOX)
    web.world.create("third")
    desk = Desk.__new__(Desk)
    desk.host, desk.network, desk.version, desk.result = web.host, "third", "1.0.0", {}
    assert desk.call("ADD", web.world.network("third").list.first, ifname="eth2").status == 0
    assert not web.is_attached()


def test_after_another_boot_it_is_attached_again(web: Running) -> None:
    before = web.addresses()
    web.end()
    web.host.boot = "second-boot 1"
    (one,) = connections.of_container(web.host.files, "c1")
    web.host.links().create_bridge(CONNECTED.host_veth)
    assert connections.is_gone(one, web.host)
    web.host.links().delete(CONNECTED.host_veth)
    web.host.add_netns(BOX)
    web.call("DEL", "")
    web.call("ADD", BOX)
    assert web.addresses() == before


def test_what_cannot_be_attached_again_is_a_warning_and_the_start_succeeds(web: Running) -> None:
    web.end()
    web.call("DEL", "")
    web.host.add_netns(BOX)
    del web.host.processes.own["/opt/cni/bin/bridge"]
    web.call("ADD", BOX)
    assert not web.is_attached()
    assert any("is not attached to network second" in each for each in web.host.warnings)
    ((first, _),) = Attachments(web.host).all()
    assert "is not attached to network second" in first.warnings[0]


def test_no_gc_removes_a_connection_that_exists(web: Running) -> None:
    desk = Desk.__new__(Desk)
    desk.host, desk.network, desk.version, desk.result = web.host, "second", "1.1.0", {}
    second = web.world.network("second").list.first
    gc = {**second, "cni.dev/valid-attachments": []}
    assert desk.call("GC", gc).status == 0
    assert (web.is_attached(), len(web.addresses())) == (True, 1)
    web.end()
    assert desk.call("GC", gc).status == 0
    assert Records(web.host, "bridge").read(CONNECTED) is None


def test_a_connection_is_shown_as_long_as_it_exists(web: Running) -> None:
    def shown() -> list[str]:
        return [endpoint.attachment.network for endpoint, _ in Attachments(web.host).all()]

    assert shown() == ["first", "second"]
    web.end()
    assert shown() == []


def test_a_connect_that_was_killed_is_made_again_by_the_next_start(web: Running) -> None:
    (one,) = connections.of_container(web.host.files, "c1")
    unfinished: dict[str, Any] = {**one.to_json(), "result": {}}
    found = connections.of(unfinished)
    assert found is not None
    connections.write(web.host.files, found)
    assert connections.is_gone(found, web.host)
    web.end()
    web.call("DEL", "")
    web.host.add_netns(BOX)
    web.call("ADD", BOX)
    assert web.is_attached()


def test_what_a_killed_connect_has_left_is_removed(tmp_path: Path) -> None:
    """Killed before any of the requests that it makes."""
    learning = before_connect(tmp_path / "first")
    connect(learning.network("second"), WEB, Requested(), learning.host, "/opt/cni/bin")
    for number, request in enumerate(learning.host.requests):
        world = before_connect(tmp_path / str(number))
        before = kept_of(world)
        world.host.dies_at = request
        with pytest.raises(Killed):
            connect(world.network("second"), WEB, Requested(), world.host, "/opt/cni/bin")
        world.host.revive()
        world.host.files.held.clear()
        for container_id in gc.interrupted(world.host):
            assert gc.clear_interrupted(world.host, container_id)
        is_complete = bool(connections.of_container(world.host.files, "c1"))
        assert is_complete or kept_of(world) == before, request


def before_connect(folder: Path) -> World:
    """A container on `first`, and a network `second` that has another."""
    folder.mkdir()
    world = World(folder)
    world.create("first")
    world.create("second")
    world.attach("second", "other")
    world.attach("first")
    world.host.revive()
    return world


def kept_of(world: World) -> set[str]:
    """What exists, but for what outlives attachments by design.

    A DEL without addresses leaves the source routes of the other network, which lead where its own routes do.
    """
    by_design = ("/locks/", "/released/", "last_reserved", "/lock 0", "connections", " table=10002,")
    return {each for each in world.host.state() if not any(word in each for word in by_design)}


def test_a_file_that_is_damaged_keeps_no_container_from_starting(web: Running) -> None:
    (name,) = web.host.files.names("/var/lib/linkspan/connections/c1")
    web.host.files.write(f"/var/lib/linkspan/connections/c1/{name}", json.dumps({"linkspan": 1}).encode())
    web.end()
    web.host.add_netns(BOX)
    web.call("DEL", "")
    web.call("ADD", BOX)
    assert not web.is_attached()
