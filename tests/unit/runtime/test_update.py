"""Changing a list in place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from linkspan.runtime.errors import PredefinedNetwork, UnfitList
from linkspan.runtime.update import update
from tests.unit.runtime.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def change(world: World, name: str = "custom", **fields: Any) -> bool:
    fields = {"dns": None, "labels": {}, "removed_labels": (), **fields}
    with world.directory.locked():
        return update(world.network(name), world.directory, **fields)


def test_names_and_labels_of_a_list_are_changed_in_its_file(world: World) -> None:
    path = Path(world.create(labels={"a": "1"}).path)
    assert change(world, dns=True, labels={"b": "2"}, removed_labels=("a",))
    found = world.network("custom")
    assert (found.dns, found.labels, found.list.path) == (True, {"b": "2"}, str(path))


def test_keys_that_are_not_known_stay(world: World) -> None:
    document = {"name": "xy", "future": [1], "plugins": [{"type": "bridge", "isGateway": True, "new": {}}]}
    world.write("20-xy.conflist", document)
    change(world, "xy", dns=True)
    found = json.loads((world.path / "20-xy.conflist").read_text())
    assert (found["future"], found["plugins"][0]) == ([1], document["plugins"][0])
    assert found["plugins"][1]["type"] == "dns"


def test_a_file_is_not_written_if_nothing_changes(world: World) -> None:
    path = Path(world.create(labels={"a": "1"}).path)
    before = path.stat().st_ino
    assert not change(world, dns=False, labels={"a": "1"})
    assert path.stat().st_ino == before


@pytest.mark.parametrize("name", ["host", "none"])
def test_a_network_without_a_list_is_refused(world: World, name: str) -> None:
    with pytest.raises(PredefinedNetwork):
        change(world, name, dns=True)


def test_a_file_with_a_single_plugin_is_refused(world: World) -> None:
    world.write("20-xy.conf", {"name": "xy", "type": "bridge", "isGateway": True})
    with pytest.raises(UnfitList, match="single plugin"):
        change(world, "xy", dns=True)


def test_names_need_a_gateway_to_listen_on(world: World) -> None:
    world.write("20-xy.conflist", {"name": "xy", "plugins": [{"type": "bridge"}]})
    with pytest.raises(UnfitList, match="no gateway"):
        change(world, "xy", dns=True)
