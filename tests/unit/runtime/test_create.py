"""Creating a network: where its list goes, around what the host has, and who is told no."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from linkspan.runtime import occupied
from linkspan.runtime.errors import (
    BridgeInUse,
    CommandError,
    NetworkExists,
    NoFreeSubnet,
    PredefinedNetwork,
    SubnetInUse,
    Usage,
)
from linkspan.runtime.files import Directory
from linkspan.runtime.network import Network
from tests.unit.runtime.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def subnets(world: World, name: str = "custom") -> list[str]:
    return [each.subnet for each in world.network(name).subnets]


def test_a_list_is_written_where_nerdctl_of_the_namespace_looks(world: World) -> None:
    created = world.create("custom", namespace="k8s.io")
    assert created.path == f"{world.path}/k8s.io/nerdctl-custom.conflist"
    assert Path(created.path).read_bytes() == created.data
    assert created.id == world.network("custom").id


def test_a_shared_list_is_written_behind_the_first_of_the_root(world: World) -> None:
    world.write("60-zz.conflist", {"name": "cri", "plugins": [{"type": "ptp"}]})
    assert world.create("custom", place="shared").path == f"{world.path}/61-custom.conflist"


def test_a_shared_list_that_is_alone_is_told_to_be_the_runtimes_default(world: World) -> None:
    (warning,) = world.create("custom", place="shared").warnings
    assert "CRI's and ctr's network" in warning


def test_a_default_list_is_the_first_of_the_root(world: World) -> None:
    world.write("10-cri.conflist", {"name": "cri", "plugins": [{"type": "ptp"}]})
    created = world.create("web", place="default", dns=None)
    assert world.directory.root_files()[0] == Path(created.path).name
    assert not world.network("web").dns


def test_networks_get_subnets_one_after_the_other(world: World) -> None:
    for name in ("one", "two"):
        world.create(name)
    assert [subnets(world, name) for name in ("one", "two")] == [["172.17.0.0/16"], ["172.18.0.0/16"]]


@pytest.mark.parametrize("path", ["10-a.conflist", "other/nerdctl-a.conflist", "podman/a.conf"])
def test_a_chosen_subnet_avoids_lists_of_every_subdirectory(world: World, path: str) -> None:
    ipam = {"type": "host-local", "subnet": "172.17.0.0/16"}
    world.write(path, {"name": "other", "plugins": [{"type": "bridge", "ipam": ipam}]})
    world.create()
    assert subnets(world) == ["172.18.0.0/16"]


def test_a_chosen_subnet_avoids_static_addresses(world: World) -> None:
    ipam = {"type": "static", "addresses": [{"address": "172.17.0.9/16"}]}
    world.write("20-other.conflist", {"name": "other", "plugins": [{"type": "macvlan", "ipam": ipam}]})
    world.create()
    assert subnets(world) == ["172.18.0.0/16"]


def test_a_chosen_subnet_avoids_links_and_routes_of_the_host(world: World) -> None:
    links = world.host.links()
    links.create_bridge("eth0")
    links.change("eth0", up=True)
    links.add_address("eth0", "172.17.3.4/24")
    links.add_route("172.18.0.0/15", ifname="eth0", gw="172.17.3.1")
    world.create()
    assert subnets(world) == ["172.20.0.0/16"]


def test_a_network_of_both_families_has_a_subnet_of_the_machine_for_ipv6(world: World) -> None:
    world.host.files.write(occupied.MACHINE_ID, b"abc")
    world.create(ipv6=True)
    v4, v6 = subnets(world)
    assert (v4, v6) == ("172.17.0.0/16", "fdba:7816:bf8f::/64")


def test_an_ipv6_subnet_enables_ipv6(world: World) -> None:
    world.create(subnets=["fd00:5::/64"])
    assert subnets(world) == ["172.17.0.0/16", "fd00:5::/64"]


def test_a_network_may_have_ipv6_only(world: World) -> None:
    world.create(subnets=["fd00:5::/64"], ipv4=False)
    assert subnets(world) == ["fd00:5::/64"]


@pytest.mark.parametrize(
    ("of_host", "ipv6", "mtu"),
    [(1420, False, 1420), (9000, True, 9000), (1500, False, 0), (1200, True, 1280)],
)
def test_the_mtu_is_that_of_the_default_routes_link(world: World, of_host: int, ipv6: bool, mtu: int) -> None:
    links = world.host.links()
    links.create_bridge("wg0", mtu=of_host)
    links.change("wg0", up=True)
    links.add_route("0.0.0.0/0", ifname="wg0")
    world.create(ipv6=ipv6)
    assert world.network("custom").mtu == mtu


def refused(world: World, error: type[CommandError], **fields: Any) -> CommandError:
    before = sorted(world.path.rglob("*.conflist"))
    with pytest.raises(error) as caught:
        world.create(**fields)
    assert sorted(world.path.rglob("*.conflist")) == before
    return caught.value


@pytest.mark.parametrize("namespace", ["default", "other"])
def test_a_name_that_exists_is_refused_in_whichever_namespace(world: World, namespace: str) -> None:
    world.create(namespace=namespace)
    error = refused(world, NetworkExists)
    assert error.what == "network with name custom already exists"
    assert error.by == (f"{world.path}/{namespace}/nerdctl-custom.conflist",)


def test_a_name_that_exists_is_fine_if_it_is_to_be_ignored(world: World) -> None:
    first = world.create()
    assert world.create(ignore=True, subnets=["10.5.0.0/24"]).id == first.id
    assert subnets(world) == ["172.17.0.0/16"]


@pytest.mark.parametrize("name", ["host", "none"])
def test_the_name_of_a_predefined_network_is_refused(world: World, name: str) -> None:
    refused(world, NetworkExists, name=name)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a"},
        {"options": ["foo=1"]},
        {"options": ["mtu=1"]},
        {"subnets": ["10.0.0.1/24"]},
        {"gateways": ["10.0.0.1"]},
        {"ipv4": False},
        {"ipv4": False, "subnets": ["10.5.0.0/24"]},
        {"ipv6": True, "options": ["mtu=1000"]},
        {"driver": "overlay"},
        {"namespace": "../../etc"},
    ],
)
def test_an_invalid_order_is_a_matter_of_usage(world: World, fields: dict[str, Any]) -> None:
    assert refused(world, Usage, **fields).status == 2


@pytest.mark.parametrize("driver", ["host", "none", "null"])
def test_there_is_one_host_and_one_null_network(world: World, driver: str) -> None:
    assert "only one instance of" in refused(world, PredefinedNetwork, driver=driver).what


def test_a_subnet_of_another_network_is_refused_with_a_free_one(world: World) -> None:
    world.create("one")
    error = refused(world, SubnetInUse, subnets=["172.17.5.0/24"])
    assert error.by == ("network one: 172.17.0.0/16",)
    assert "172.18.0.0/16" in error.fix


def test_a_subnet_of_the_lan_is_refused(world: World) -> None:
    world.host.links().create_bridge("eth0")
    world.host.links().add_address("eth0", "192.168.1.7/24")
    assert refused(world, SubnetInUse, subnets=["192.168.0.0/16"]).by == ("link eth0: 192.168.1.0/24",)


def test_a_subnet_inside_a_vpns_route_is_created_with_a_warning(world: World) -> None:
    links = world.host.links()
    links.create_bridge("wg0")
    links.change("wg0", up=True)
    links.add_route("10.0.0.0/8", ifname="wg0")
    (warning,) = world.create(subnets=["10.5.0.0/24"]).warnings
    assert "10.5.0.0/24" in warning
    assert "wg0" in warning


def test_exhausted_pools_are_told_with_what_uses_them(world: World) -> None:
    for number, subnet in enumerate(("172.16.0.0/12", "192.168.0.0/16", "10.0.0.0/8")):
        world.create(f"net{number}", subnets=[subnet])
    error = refused(world, NoFreeSubnet)
    assert error.what == "all predefined address pools have been fully subnetted"
    assert len(error.by) == 3


def test_a_bridge_of_another_network_is_refused(world: World) -> None:
    world.create("one", options=["name=br7"])
    assert refused(world, BridgeInUse, options=["name=br7"]).by == ("network one",)


def test_an_idle_bridge_of_a_network_whose_list_is_gone_is_replaced(world: World) -> None:
    bridge = "br-6cdfd271da63"
    world.host.links().create_bridge(bridge)
    world.host.links().add_address(bridge, "172.30.0.1/16")
    world.create()
    assert world.host.links().get(bridge) is None


def test_a_bridge_of_a_network_whose_list_is_gone_but_not_its_containers_is_refused(world: World) -> None:
    links = world.host.links()
    links.create_bridge("br-6cdfd271da63")
    links.create_bridge("port")
    links.change("port", master="br-6cdfd271da63")
    refused(world, BridgeInUse)


def test_a_dry_run_writes_nothing(world: World) -> None:
    created = world.create(dry_run=True)
    assert json.loads(created.data)["name"] == "custom"
    assert list(world.path.iterdir()) == []


def test_networks_that_are_created_at_once_get_different_subnets(tmp_path: Path) -> None:
    names = [f"net{number}" for number in range(8)]
    worlds = [World(tmp_path) for _ in names]
    threads = [
        threading.Thread(target=each.create, args=(name,)) for each, name in zip(worlds, names, strict=True)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    found = {one.name: Network(one).subnets[0].subnet for one in Directory(str(tmp_path)).lists()}
    assert (sorted(found), len(set(found.values()))) == (names, 8)
