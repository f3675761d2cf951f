"""`linkspan status`: STATUS of every list."""

from __future__ import annotations

import pytest

from linkspan.call.plugin import MODULES
from tests.unit.cli.conftest import Command


@pytest.fixture
def networks(command: Command) -> Command:
    """A world with two networks, whose plugins are installed."""
    for each in MODULES:
        command.world.host.processes.own[f"/opt/cni/bin/{each}"] = each
    command.world.create("blue")
    command.world.create("red")
    return command


def test_networks_that_are_ready_are_said_to_be(networks: Command) -> None:
    printed = networks.output("status", "--bin-dir", "/opt/cni/bin")
    assert [each.split() for each in printed.splitlines()] == [
        ["NETWORK", "STATUS"],
        ["blue", "ready"],
        ["red", "ready"],
    ]


def test_a_network_that_is_not_ready_says_why(networks: Command) -> None:
    bridge = networks.world.network("red").bridge
    networks.world.host.links().create_veth(
        bridge,
        mac="02:00:00:00:00:01",
        peer="x",
        peer_mac="02:00:00:00:00:02",
        peer_netns="/proc/self/ns/net",
    )
    done = networks("status", "--bin-dir", "/opt/cni/bin")
    assert (done.exit_code, done.stderr) == (1, "")
    assert [each.split(maxsplit=1) for each in done.stdout.splitlines()[1:]] == [
        ["blue", "ready"],
        ["red", f"bridge: $.bridge: {bridge} is not a bridge"],
    ]
