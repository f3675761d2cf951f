"""Taking back what attachments have left whose container is gone, on a host in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from linkspan.call import kept_warnings
from linkspan.call.records import Records
from linkspan.cni.model import Attachment
from linkspan.runtime import gc
from linkspan.runtime.attachments import Attachments
from linkspan.runtime.cache import entry_of
from tests.unit.runtime.world import World

PATH = "/opt/cni/bin"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A host with a network that two containers are attached to."""
    made = World(tmp_path)
    made.create("custom")
    made.attach("custom", "lives")
    made.attach("custom", "dies")
    return made


def die(world: World, container_id: str = "dies") -> Attachment:
    """End a container's namespace: its pair goes with it."""
    attachment = Attachment("custom", container_id, "eth0")
    assert world.host.links().delete(attachment.host_veth)
    return attachment


def take_all_back(world: World) -> list[str]:
    """The IDs of the containers whose attachments were taken back."""
    found = gc.find(Attachments(world.host))
    return [each.endpoint.attachment.container_id for each in found if gc.take_back(each, world.host, PATH)]


def test_nothing_is_gone_while_all_live(world: World) -> None:
    before = world.host.state()
    assert (take_all_back(world), world.host.state()) == ([], before)


def test_all_that_a_container_left_is_taken_back_and_nothing_of_others(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.create("custom")
    world.attach("custom", "lives")
    records = {
        each.partition(" 0600")[0] for each in world.host.state() if each.startswith("file /run/linkspan")
    }
    world.attach("custom", "dies")
    attachment = die(world)
    for plugin in ("bridge", "tuning"):  # which keeps no other record
        kept_warnings.records_of(world.host, plugin).write(attachment, {"ADD": [f"{plugin}: is odd"]})
    assert take_all_back(world) == ["dies"]
    left = {
        each.partition(" 0600")[0] for each in world.host.state() if each.startswith("file /run/linkspan")
    }
    assert {each for each in left - records if "/locks/" not in each and "/released/" not in each} == set()
    assert not world.host.files.exists(entry_of(attachment))
    assert [
        each for each in world.host.files.names("/var/lib/cni/networks/custom") if each == "172.17.0.3"
    ] == []
    assert world.host.files.exists("/var/lib/cni/networks/custom/172.17.0.2")


def test_a_record_that_libcni_does_not_know_is_taken_back(world: World) -> None:
    attachment = die(world)
    world.host.files.remove(entry_of(attachment))
    assert take_all_back(world) == ["dies"]
    assert Records(world.host, "bridge").read(attachment) is None
    assert not world.host.files.exists("/var/lib/cni/networks/custom/172.17.0.3")


def test_an_attachment_that_is_back_meanwhile_stays(world: World) -> None:
    attachment = die(world)
    found = gc.find(Attachments(world.host))
    world.host.links().create_bridge(attachment.host_veth)
    before = world.host.state()
    assert [gc.take_back(each, world.host, PATH) for each in found] == [False]
    assert world.host.state() == before


def test_what_fails_is_tried_again_the_next_time(world: World) -> None:
    attachment = die(world)
    del world.host.processes.own[f"{PATH}/host-local"]
    (gone,) = gc.find(Attachments(world.host))
    with pytest.raises(Exception, match="host-local"):
        gc.take_back(gone, world.host, PATH)
    assert world.host.files.exists(entry_of(attachment))
    world.host.processes.own[f"{PATH}/host-local"] = "host-local"
    assert take_all_back(world) == ["dies"]
    assert take_all_back(world) == []
