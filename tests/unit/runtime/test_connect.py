"""Attaching a container to a further network, and detaching it, on a host in memory."""

from __future__ import annotations

import os
from dataclasses import replace
from hashlib import sha512
from pathlib import Path

import pytest

from linkspan.call import connections
from linkspan.cni.errors import CniError
from linkspan.cni.model import Attachment
from linkspan.runtime.connect import Requested, connect, disconnect, free_ifname
from linkspan.runtime.container import Container
from linkspan.runtime.errors import (
    AlreadyConnected,
    CannotConnect,
    NetworkInUse,
    NoSuchNetwork,
    NotConnected,
    NotRunning,
)
from linkspan.runtime.network import without_list
from tests.harness.memory import BOX
from tests.unit.runtime.world import World

PATH = "/opt/cni/bin"
WEB = Container(
    runtime="nerdctl", id="c1", name="web", attachment_id="c1", pid=7, netns=BOX, netns_identity="x"
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A container on `first`, and a network `second`."""
    made = World(tmp_path)
    made.create("first")
    made.create("second")
    made.attach("first")
    return made


def attach(world: World, container: Container = WEB, **requested: object) -> bool:
    return connect(world.network("second"), container, Requested(**requested), world.host, PATH)  # type: ignore[arg-type]


def test_the_container_gets_the_next_interface_with_an_address_of_the_network(world: World) -> None:
    assert attach(world) is True
    assert world.host.links(BOX).addresses("eth1") == ("172.18.0.2/16",)
    assert world.host.links().get(Attachment("second", "c1", "eth1").host_veth) is not None


def test_what_is_asked_for_is_given(world: World) -> None:
    attach(world, ips=("172.18.0.9",), mac="02:00:00:00:00:09", ifname="lan")
    link = world.host.links(BOX).get("lan")
    assert link is not None
    assert (link.mac, world.host.links(BOX).addresses("lan")) == ("02:00:00:00:00:09", ("172.18.0.9/16",))


def test_the_first_network_keeps_the_default_route(world: World) -> None:
    attach(world)
    routes = [each for each in world.host.links(BOX).routes(4) if each.dst in ("default", "0.0.0.0/0")]
    assert min(routes, key=lambda each: each.priority).ifname == "eth0"


def test_podmans_containers_get_an_interface_that_podman_never_picks(world: World) -> None:
    attach(world, replace(WEB, runtime="podman"))
    assert world.host.links(BOX).get("net0") is not None


def test_without_an_attachment_of_ours_it_lasts_until_the_restart(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.create("second")
    world.host.add_netns(BOX)
    for each in ("bridge", "host-local", "portmap"):
        world.host.processes.own[f"{PATH}/{each}"] = each
    assert attach(world) is False
    assert world.host.links(BOX).addresses("eth0")


def test_a_container_that_is_stopped_is_attached_when_it_is_started(world: World) -> None:
    stopped = replace(WEB, netns="", pid=0, labels={"nerdctl/networks": '["first"]'})
    before = world.host.links(BOX).all()
    assert attach(world, stopped) is True
    assert world.host.links(BOX).all() == before
    (one,) = connections.of_container(world.host.files, "c1")
    assert (one.attachment.ifname, one.chain.prev_result) == ("eth1", {})
    assert disconnect(world.network("second"), stopped, world.host, PATH) is True
    assert list(connections.every(world.host.files)) == []


def test_a_network_is_connected_once(world: World) -> None:
    attach(world)
    with pytest.raises(AlreadyConnected) as caught:
        attach(world)
    assert caught.value.what == "endpoint with name web already exists in network second"
    with pytest.raises(AlreadyConnected):
        connect(world.network("first"), WEB, Requested(), world.host, PATH)


@pytest.mark.parametrize(
    ("container", "error"),
    [
        (replace(WEB, host_network=True), CannotConnect),
        (replace(WEB, shares_netns=True), CannotConnect),
        (replace(WEB, runtime="ctr", netns="", pid=0), NotRunning),
        (replace(WEB, runtime="process", attachment_id=""), CannotConnect),
    ],
)
def test_what_cannot_be_attached_is_refused(
    world: World, container: Container, error: type[Exception]
) -> None:
    before = world.host.state()
    with pytest.raises(error):
        attach(world, container)
    assert world.host.state() == before


@pytest.mark.parametrize("name", ["host", "none"])
def test_nobody_is_attached_to_host_or_none(world: World, name: str) -> None:
    with pytest.raises(CannotConnect):
        connect(without_list(name), WEB, Requested(), world.host, PATH)


def test_what_fails_leaves_nothing(world: World) -> None:
    before = world.host.state()
    with pytest.raises(CniError):
        attach(world, ips=("10.0.0.1",))
    left = {
        each for each in world.host.state() - before if "/locks/" not in each and "last_reserved" not in each
    }
    assert left == set()
    assert list(connections.every(world.host.files)) == []


def test_a_network_that_is_removed_meanwhile_keeps_no_container(world: World) -> None:
    second = world.network("second")
    os.unlink(second.list.path)
    with pytest.raises(NoSuchNetwork):
        connect(second, WEB, Requested(), world.host, PATH)
    assert world.host.links(BOX).get("eth1") is None
    assert list(connections.every(world.host.files)) == []


def test_disconnect_takes_back_what_connect_made(world: World) -> None:
    attach(world)
    assert disconnect(world.network("second"), WEB, world.host, PATH) is True
    assert world.host.links(BOX).get("eth1") is None
    assert list(connections.every(world.host.files)) == []
    assert not world.host.files.exists("/var/lib/cni/networks/second/172.18.0.2")


def test_disconnect_detaches_from_a_network_of_the_runtimes(world: World) -> None:
    assert disconnect(world.network("first"), WEB, world.host, PATH) is False
    assert world.host.links(BOX).get("eth0") is None


def test_who_is_not_connected_cannot_be_disconnected(world: World) -> None:
    with pytest.raises(NotConnected):
        disconnect(world.network("second"), WEB, world.host, PATH)


def test_a_network_with_a_connected_container_is_not_removed(world: World) -> None:
    attach(world)
    with pytest.raises(NetworkInUse) as caught:
        world.remove("second")
    assert caught.value.fix.startswith("linkspan disconnect second ")


def test_a_named_namespace_has_the_id_that_cnitool_gives_it() -> None:
    box = Container(runtime="netns", id=BOX, name="box", netns=BOX)
    digest = sha512(BOX.encode()).hexdigest()
    assert box.cni_id == f"cnitool-{digest[:20]}"


def test_the_first_name_that_is_free_is_used() -> None:
    assert [free_ifname("eth", taken) for taken in ([], ["lo", "eth0"], ["eth1"])] == ["eth0", "eth1", "eth0"]
