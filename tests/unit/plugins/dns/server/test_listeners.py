"""Which listeners are opened on a host in memory, and on which device."""

from __future__ import annotations

import pytest

from cni_dns.server import listeners
from cni_dns.server.listeners import Listeners
from cni_dns.server.zone import ListenKey
from linkspan.cni.errors import PortTaken
from linkspan.host.memory import MemoryHost

GATEWAY = "10.5.0.1"


class Listener:
    """A listener without sockets, and whether it is open."""

    def __init__(self, key: ListenKey, device: str, index: int) -> None:
        self.key, self.device, self.index, self.is_open = key, device, index, True

    def close(self) -> None:
        """As listen.Listener."""
        self.is_open = False


class World:
    """A host with the bridge br0, and the listeners that were made."""

    def __init__(self) -> None:
        self.host = MemoryHost()
        self.host.links().create_bridge("br0")
        self.host.links().add_address("br0", "10.5.0.1/24")
        self.made: list[Listener] = []
        self.taken = "none"
        self.listeners = Listeners(self.host, self._make)  # type: ignore[arg-type]

    def index_of(self, device: str) -> int:
        link = self.host.links().get(device)
        return link.index if link else 0

    def _make(self, key: ListenKey, device: str) -> Listener:
        if key[0] == self.taken:
            raise PortTaken("port 53 is taken", "stop it")
        self.made.append(Listener(key, device, self.index_of(device)))
        return self.made[-1]

    def open(self) -> set[tuple[ListenKey, str]]:
        """Key and device of the open ones."""
        return {(each.key, each.device) for each in self.made if each.is_open}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(listeners, "index_of", made.index_of)
    return made


HERE = ("br0", GATEWAY)
OPEN = {(HERE, "br0")}


def test_an_address_has_one_listener_on_the_bridge(world: World) -> None:
    world.listeners.open([HERE])
    world.listeners.open([HERE])
    assert (world.open(), len(world.made)) == (OPEN, 1)
    assert world.listeners.addresses == {GATEWAY}


def test_a_bridge_that_was_recreated_has_another_listener(world: World) -> None:
    world.listeners.open([HERE])
    world.host.links().delete("br0")
    world.listeners.open([HERE])
    world.host.links().create_bridge("dummy0")
    world.host.links().create_bridge("br0")
    world.listeners.open([HERE])
    assert (world.open(), len(world.made)) == (OPEN, 2)


def test_a_bridge_that_does_not_exist_is_no_error(world: World) -> None:
    world.listeners.open([("br9", GATEWAY)])
    assert world.open() == set()


def test_a_gateway_in_a_vlan_is_asked_on_the_bridge_s_link_there(world: World) -> None:
    links = world.host.links()
    for vlan in (7, 8):
        links.create_vlan(f"br0.{vlan}", link="br0", vlan=vlan)
        links.add_address(f"br0.{vlan}", f"10.{vlan}.0.1/24")
    world.listeners.open([("br0", "10.8.0.1")])
    assert (("br0", "10.8.0.1"), "br0.8") in world.open()


def test_without_a_device_it_is_the_link_that_has_the_address(world: World) -> None:
    world.listeners.open([("", GATEWAY)])
    assert (("", GATEWAY), "br0") in world.open()


def test_what_nobody_needs_is_closed(world: World) -> None:
    world.listeners.open([HERE, ("br0", "10.6.0.1")])
    world.listeners.close_all_but([HERE])
    assert world.open() == OPEN
    world.listeners.close_all_but([])
    assert world.open() == set()


def test_a_port_that_is_taken_leaves_nothing_half_open_that_is_not_closed_later(world: World) -> None:
    world.taken = "br0"
    with pytest.raises(PortTaken):
        world.listeners.open([HERE])
    world.listeners.close_all_but([])
    assert world.open() == set()
