"""Removing a network: nothing of it is left, nobody is cut off, and an interrupted removal is finished."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from linkspan.cni.errors import IoFailure, KernelRefused
from linkspan.runtime.errors import NetworkInUse, NoSuchNetwork, PredefinedNetwork
from linkspan.runtime.files import Directory
from linkspan.runtime.owners import Owner
from linkspan.runtime.remove import freed_by, prunable
from tests.unit.runtime.world import World

NAMES = ("nftables", "iptables")


@pytest.fixture(params=NAMES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A world whose packet rules are nftables', or iptables' where there are no nftables; FORWARD drops.

    One network was there before, so that what plugins make once and keep is there: their table and chains.
    """
    made = World(tmp_path)
    made.host.nftables.available = request.param == "nftables"
    for family in (4, 6):
        made.host.iptables.policies[family, "filter", "FORWARD"] = "DROP"
    for internal in (False, True):
        create(made, name="first", internal=internal, ipv6=True, subnets=["10.99.0.0/24"])
        live_and_end(made, "first")
        made.remove("first")
    return made


def live_and_end(world: World, name: str = "custom") -> None:
    """Attach a container to a network and detach it."""
    one = world.network(name).list
    for verb in ("ADD", "DEL"):
        world.call(verb, one)


def create(world: World, **fields: Any) -> None:
    created = world.create(**fields)
    if not world.host.nftables.available:
        text = Path(created.path).read_text()
        for key in (
            '"ipMasqBackend": "nftables",',
            '"backend": "nftables",',
            '"macspoofchk": true,',
            '"arpspoofchk": true,',
        ):
            text = text.replace(key, "")
        Path(created.path).write_text(text)


@pytest.mark.parametrize(
    "fields", [{}, {"internal": True}, {"ipv6": True}, {"options": ["icc=false", "name=br7"]}], ids=str
)
def test_nothing_is_left_of_a_network_that_had_containers(world: World, fields: dict[str, Any]) -> None:
    before = world.host.state()
    create(world, **fields)
    live_and_end(world)
    assert world.host.state() != before
    world.remove("custom")
    assert world.names() == []
    assert world.host.state() ^ before == set()


def test_a_container_that_ended_without_a_del_leaves_nothing_either(world: World) -> None:
    before = world.host.state()
    create(world)
    world.call("ADD", world.network("custom").list)
    for link in world.host.links().all(kind="veth"):
        world.host.links().delete(link.name)
    world.remove("custom")
    assert world.host.state() ^ before == set()


def test_a_network_with_a_container_is_refused_and_stays_as_it_is(world: World) -> None:
    create(world)
    world.call("ADD", world.network("custom").list)
    before = world.host.state()
    with pytest.raises(NetworkInUse) as caught:
        world.remove("custom")
    assert caught.value.by == ("container c1 (eth0, 172.17.0.2/16)",)
    assert world.names() == ["custom"]
    assert world.host.state() == before


def test_a_container_that_is_attached_while_the_list_is_being_removed_keeps_its_network(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(world)
    one = world.network("custom").list
    put_aside = Directory.put_aside

    def attach_meanwhile(self: Directory, each: Any) -> Any:
        world.call("ADD", one)
        return put_aside(self, each)

    monkeypatch.setattr(Directory, "put_aside", attach_meanwhile)
    with pytest.raises(NetworkInUse):
        world.remove("custom")
    assert world.names() == ["custom"]


def test_a_bridge_with_a_port_that_is_no_containers_stays(world: World) -> None:
    create(world, options=["name=br7"])
    links = world.host.links()
    links.create_bridge("br7")
    links.create_bridge("eth0")
    links.change("eth0", master="br7")
    world.remove("custom")
    assert links.get("br7") is not None


def test_an_administrators_bridge_stays_and_is_told(world: World) -> None:
    create(world, options=["name=br7"])
    world.host.links().create_bridge("br7")
    world.remove("custom")
    assert world.host.links().get("br7") is not None
    assert world.host.warnings == ["the bridge br7 stays: it was not created for the network custom"]


@pytest.mark.parametrize(
    ("document", "bridge"),
    [({"nerdctlID": "a" * 64}, "nerdctl7"), ({}, "cni-podman1"), ({}, "br-6cdfd271da63")],
)
def test_a_bridge_that_the_reference_created_goes_with_a_programs_network(
    world: World, document: dict[str, Any], bridge: str
) -> None:
    plugins = [{"type": "bridge", "bridge": bridge}]
    world.write("20-custom.conflist", {"name": "custom", "plugins": plugins, **document})
    world.host.links().create_bridge(bridge, mac="02:00:00:00:00:01")
    world.remove("custom")
    assert world.host.links().get(bridge) is None


def test_a_bridge_and_leases_that_another_list_uses_stay(world: World) -> None:
    create(world)
    one = world.network("custom").list
    world.write("90-other.conflist", {"name": "other", "plugins": [one.first]})
    live_and_end(world)
    world.remove("custom")
    assert world.host.links().get(str(one.first["bridge"])) is not None


def test_a_network_without_a_bridge_takes_no_rules_of_others_with_it(world: World) -> None:
    create(world)
    world.call("ADD", world.network("custom").list)
    before = world.host.state()
    plugins = [{"type": "ptp"}, {"type": "portmap"}, {"type": "firewall"}]
    world.write("20-xy.conflist", {"name": "xy", "plugins": plugins})
    world.remove("xy")
    assert world.host.state() == before


def test_a_list_whose_plugins_are_not_ours_or_invalid_is_removed_too(world: World) -> None:
    plugins = [
        {"type": "macvlan", "master": "eth0"},
        {"type": "bridge", "mtu": -5},
        {"type": "portmap", "snat": 3},
    ]
    world.write("20-x.conflist", {"name": "xy", "plugins": plugins})
    world.remove("xy")
    assert world.names() == []


@pytest.mark.parametrize("name", ["host", "none", "bridge", "podman"])
def test_a_predefined_network_is_refused(world: World, name: str) -> None:
    label = {"nerdctl/default-network": "true"}
    for each in ("bridge", "podman"):
        world.write(
            f"{each}.conflist", {"name": each, "nerdctlLabels": label, "plugins": [{"type": "bridge"}]}
        )
    with pytest.raises(PredefinedNetwork, match="pre-defined network and cannot be removed"):
        world.remove(name)


def test_an_unknown_network_is_refused(world: World) -> None:
    with pytest.raises(NoSuchNetwork):
        world.remove("nope")


# --- interrupted
# ------------------------------------------------------------------------------------------------------


def test_a_removal_that_fails_is_finished_by_the_next_command(world: World) -> None:
    before = world.host.state()
    create(world)
    live_and_end(world)
    world.host.refuse = {"links.delete": errno.EBUSY}
    with pytest.raises(KernelRefused):
        world.remove("custom")
    assert world.names() == []
    world.host.refuse = {}
    with pytest.raises(NoSuchNetwork):
        world.remove("custom")
    assert world.host.state() ^ before == set()
    assert list(world.path.rglob("*custom*")) == []


def test_a_removal_that_keeps_failing_stops_nobody(world: World) -> None:
    create(world, name="one")
    world.write("20-two.conflist", {"name": "two", "plugins": [{"type": "macvlan"}]})
    live_and_end(world, "one")
    world.host.refuse = {"links.delete": errno.EBUSY}
    with pytest.raises(KernelRefused):
        world.remove("one")
    world.remove("two")
    assert any("network one is not removed completely" in each for each in world.host.warnings)


def test_an_interrupted_removal_of_a_network_that_has_a_container_is_undone(world: World) -> None:
    create(world)
    one = world.network("custom").list
    world.call("ADD", one)
    with world.directory.locked():
        world.directory.put_aside(one)
    with pytest.raises(NetworkInUse):
        world.remove("custom")
    assert world.names() == ["custom"]


def test_a_removal_that_cannot_tell_who_is_attached_is_undone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(world)
    put_aside = Directory.put_aside

    def and_then_nothing_can_be_read(self: Directory, each: Any) -> Any:
        world.host.refuse = {"files.names": errno.EIO}
        return put_aside(self, each)

    monkeypatch.setattr(Directory, "put_aside", and_then_nothing_can_be_read)
    with pytest.raises(IoFailure):
        world.remove("custom")
    assert world.names() == ["custom"]


def test_an_interrupted_removal_does_not_touch_a_new_network_of_that_name(world: World) -> None:
    create(world)
    with world.directory.locked():
        world.directory.put_aside(world.network("custom").list)
    create(world)
    one = world.network("custom").list
    world.call("ADD", one)
    with pytest.raises(NetworkInUse):
        world.remove("custom")
    assert world.host.links().get(str(one.first["bridge"])) is not None


# --- what is told, and what prune takes
# -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runtime", "command"),
    [
        ("nerdctl", "nerdctl --namespace ns stop web"),
        ("podman", "podman network disconnect custom web"),
        ("ctr", "ctr --namespace ns task kill --signal SIGKILL web"),
        ("cri", "crictl stopp 0123456789abc"),
    ],
)
def test_a_container_is_detached_by_its_runtimes_command(world: World, runtime: str, command: str) -> None:
    create(world)
    owner = Owner(id="0123456789abcdef", name="web", runtime=runtime, namespace="ns")
    assert freed_by(world.network("custom"), owner) == command


def test_only_unused_networks_that_programs_made_are_pruned(tmp_path: Path) -> None:
    world = World(tmp_path)
    bridge = {"type": "bridge", "bridge": "br1"}
    world.write("10-cri.conflist", {"name": "cri", "nerdctlID": "a" * 64, "plugins": [bridge]})
    world.write("20-hand.conflist", {"name": "hand", "plugins": [bridge]})
    world.write(
        "30-podman.conflist", {"name": "pod", "plugins": [{"type": "bridge", "bridge": "cni-podman1"}]}
    )
    world.write("default/nerdctl-n.conflist", {"name": "nerd", "nerdctlID": "b" * 64, "plugins": [bridge]})
    world.create("ours")
    world.create("used")
    networks = [world.network(each) for each in world.names()]
    first = f"{world.path}/10-cri.conflist"
    found = prunable(networks, first, lambda each: each.name == "used")
    assert [each.name for each in found] == ["pod", "nerd", "ours"]
