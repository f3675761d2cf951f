"""Ours beside the reference's portmap on one host, in the tables that both share."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.harness import ours, tools
from tests.harness.chain import Attachment, Chain
from tests.harness.privatehost import HOST_V4, HOST_V6, OUTSIDE, HostError, PrivateHost
from tests.harness.world import Box, World, published, world_of

pytestmark = [pytest.mark.root, pytest.mark.runtime]

MANY = 30
SHARED = ("-j CNI-HOSTPORT-DNAT", "-j CNI-HOSTPORT-MASQ", "-j MASQUERADE", "--set-xmark 0x2000/0x2000")


@pytest.fixture
def reference() -> str:
    """The directory of the reference plugins."""
    return tools.require(tools.reference_plugins)


@pytest.fixture
def world(host: PrivateHost) -> Iterator[World]:
    """A world whose plugins use iptables, as the reference does."""
    with world_of(host, backend="iptables") as made:
        yield made


def call(world: World, folder: str, verb: str, box: Box, port: int) -> None:
    """Run one portmap executable."""
    config = {**world.portmap_config(box.network, [published(port)]), "cniVersion": "1.0.0"}
    config["prevResult"] = {**box.result, "cniVersion": "1.0.0"}
    env = {
        **ours.STANDALONE,
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": box.name,
        "CNI_NETNS": box.netns,
        "CNI_IFNAME": box.ifname,
        "CNI_PATH": folder,
    }
    world.host.run([f"{folder}/portmap"], env=env, input=json.dumps(config))


def add(world: World, folder: str, box: Box, port: int) -> None:
    """ADD, once more for the reference where it lost its own race for a chain that is shared (plugins#418), as a runtime would."""
    for _ in range(MANY):
        try:
            call(world, folder, "ADD", box, port)
        except HostError as error:
            if folder == ours.BIN or "File exists" not in str(error):
                raise
        else:
            return


def shared_rules(world: World, tool: str) -> Counter[str]:
    """The rules that belong to no container, with how often each stands."""
    lines = world.rules(tool, "-t", "nat").splitlines()
    return Counter(line for line in lines if line.startswith("-A ") and line.endswith(SHARED))


def test_thirty_at_once_half_of_them_the_references_all_answer_and_share_each_jump(
    world: World, reference: str
) -> None:
    boxes = [world.box(f"b{number}") for number in range(MANY)]
    with ThreadPoolExecutor(MANY) as pool:
        list(pool.map(lambda n: add(world, (reference, ours.BIN)[n % 2], boxes[n], 8000 + n), range(MANY)))
    for tool in ("iptables-save", "ip6tables-save"):
        assert set(shared_rules(world, tool).values()) == {1}
    with ExitStack() as servers:
        for box in boxes:
            servers.enter_context(world.serving(box))
        for number, box in enumerate(boxes):
            assert world.asks(OUTSIDE, HOST_V4, 8000 + number) == box.name
    with ThreadPoolExecutor(MANY) as pool:
        list(
            pool.map(
                lambda n: call(world, (reference, ours.BIN)[n % 2], "DEL", boxes[n], 8000 + n), range(MANY)
            )
        )
    assert "CNI-DN-" not in world.rules("iptables-save") + world.rules("ip6tables-save")


def test_ours_takes_back_what_the_reference_published(world: World, reference: str) -> None:
    """A host that changes over to ours while containers run."""
    box = world.box("web")
    call(world, reference, "ADD", box, 8080)
    call(world, ours.BIN, "DEL", box, 8080)
    assert "CNI-DN-" not in world.rules("iptables-save") + world.rules("ip6tables-save")


def test_the_reference_takes_back_what_ours_published(world: World, reference: str) -> None:
    box = world.box("web")
    call(world, ours.BIN, "ADD", box, 8080)
    call(world, reference, "DEL", box, 8080)
    assert "CNI-DN-" not in world.rules("iptables-save") + world.rules("ip6tables-save")


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_our_portmap_publishes_what_the_references_bridge_attached(
    host: PrivateHost, reference: str, backend: str
) -> None:
    ours.install(host)
    with world_of(host, backend=backend) as world:
        bridge = {key: value for key, value in world.bridge_config("net1").items() if key != "ipMasqBackend"}
        portmap = {**world.portmap_config("net1"), "capabilities": {"portMappings": True}}
        plugins = [{"type": "bridge", **bridge}, portmap]
        network = {"name": "net1", "cniVersion": "1.0.0", "plugins": plugins}
        host.run(["sh", "-c", f"mkdir /opt/mixed; cp {reference}/bridge {reference}/host-local /opt/mixed"])
        chain = Chain(network, ["/opt/mixed", ours.BIN], host=host, env=ours.STANDALONE)
        netns = host.add_netns("web", loopback_up=True)
        web = Attachment("web", netns, capabilities={"portMappings": [published(8080)]})
        box = Box("web", netns, "net1", "eth0", chain.add(web))
        # The reference's bridge cannot speak IPv6 before duplicate address detection is through.
        settled = "while ip -6 address show dev br-net1 | grep -q tentative; do sleep 0.1; done"
        host.run(["sh", "-c", settled])
        with world.serving(box):
            for asker in (OUTSIDE, None, netns):
                assert world.asks(asker, HOST_V4, 8080) == "web"
                assert world.asks(asker, HOST_V6, 8080) == "web"
            assert world.asks(None, "127.0.0.1", 8080) == "web"
        chain.check(web)
        chain.delete(web)
        assert box.v4 not in world.rules("nft", "list", "ruleset")
