"""127.0.0.1 and ::1 of the host lead to a container, and never the other way."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.harness import ours, talk
from tests.harness.chain import Attachment, Chain
from tests.harness.patience import until
from tests.harness.ports import PortsProcess
from tests.harness.privatehost import HOST_V4, HOST_V6, OUTSIDE, PrivateHost
from tests.harness.world import Box, PluginFailed, World, published

pytestmark = pytest.mark.root

RELAY: dict[str, Any] = {"localhost": "relay"}
BOTH = [published(8080), published(8080, protocol="udp")]
#: Asks for what the host's 127.0.0.1 has on a port, over a route that leads there through the bridge.
_INTRUDE = r"""
import socket, sys
try:
    print(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 0.5).recv(100).decode())
except OSError:
    print("closed")
"""


def route_localnet(world: World) -> str:
    return str(world.host.run(["sysctl", "-n", "net.ipv4.conf.br-net1.route_localnet"]).stdout.strip())


@contextmanager
def secret_of_the_host(world: World) -> Iterator[None]:
    """A server that only the host itself may use, on port 5000."""
    with talk.serve(world.host, None, port=5000, address="127.0.0.1", name="secret"):
        yield


def sees(world: World, box: Box) -> str:
    """What a container gets from port 5000 of the host's 127.0.0.1."""
    return intrudes(world.host, box.netns, "10.1.0.1")


def intrudes(host: PrivateHost, netns: str, gateway: str) -> str:
    """The same of whoever has every right in a namespace behind a gateway."""
    for argv in (
        ["sysctl", "-qw", "net.ipv4.conf.eth0.route_localnet=1"],
        ["ip", "address", "flush", "dev", "lo"],
        ["ip", "route", "replace", "127.0.0.0/8", "via", gateway, "dev", "eth0"],
    ):
        host.run(argv, netns=netns)
    return str(host.run([sys.executable, "-ISc", _INTRUDE, "5000"], netns=netns).stdout.strip())


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_relayed_port_answers_at_every_address_of_the_host(backend_world: World, kind: str) -> None:
    world = backend_world
    web = world.box("web", ports=BOTH, **RELAY)
    with world.serving(web, kind=kind):
        found = {
            address: world.asks(None, address, 8080, kind=kind)
            for address in ("127.0.0.1", "127.1.2.3", "::1", HOST_V4, HOST_V6)
        }
        assert set(found.values()) == {"web"}, found
        assert [world.asks(OUTSIDE, each, 8080, kind=kind) for each in (HOST_V4, HOST_V6)] == ["web"] * 2


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_port_that_is_published_on_a_loopback_address_is_for_the_host_only(
    backend_world: World, address: str
) -> None:
    world = backend_world
    web = world.box("web", ports=[published(8080, host_ip=address)], **RELAY)
    with world.serving(web):
        assert world.asks(None, address, 8080) == "web"
        assert [world.asks(OUTSIDE, each, 8080) for each in (HOST_V4, HOST_V6)] == ["", ""]
        assert world.asks(None, HOST_V4, 8080) == ""


def test_del_ends_the_relaying_and_leaves_no_process(backend_world: World) -> None:
    world = backend_world
    process = PortsProcess(world.host)
    web = world.box("web", ports=BOTH, **RELAY)
    assert len(process.pids()) == 1
    world.unpublish(web)
    with world.serving(web):
        assert (world.asks(None, "127.0.0.1", 8080), world.asks(None, "::1", 8080)) == ("", "")
    until(lambda: not process.pids(), "the ports process to leave")


def test_check_starts_a_process_that_was_killed_and_is_content(backend_world: World) -> None:
    world = backend_world
    process = PortsProcess(world.host)
    web = world.box("web", ports=BOTH, **RELAY)
    process.kill()
    with world.serving(web):
        assert world.asks(None, "127.0.0.1", 8080) == ""
        world.check(web)
        assert (world.asks(None, "127.0.0.1", 8080), world.asks(None, "::1", 8080)) == ("web", "web")


def test_check_misses_the_redirection(backend_world: World) -> None:
    world = backend_world
    web = world.box("web", ports=[published(8080)], **RELAY)
    if world.backend == "nftables":
        world.rules("nft", "flush", "map", "inet", "linkspan", "relayed4")
    else:
        world.rules("iptables", "-t", "nat", "-F", "OUTPUT")
    with pytest.raises(PluginFailed) as raised:
        world.check(web)
    assert raised.value.error["code"] == 103


def test_second_network_of_a_container_is_served_when_the_last_one_goes(backend_world: World) -> None:
    world = backend_world
    first = world.box("web", ports=[published(8080)], **RELAY)
    second = world.box(
        "web", network="net2", ifname="eth1", netns=first.netns, ports=[published(8080)], **RELAY
    )
    with world.serving(first):
        both = world.asks(None, "127.0.0.1", 8080)
        world.unpublish(second)
        assert (both, world.asks(None, "127.0.0.1", 8080)) == ("web", "web")


def test_intruder_gets_in_where_127_0_0_1_is_routed_without_a_guard(backend_world: World) -> None:
    """The proof that the tests below can fail."""
    web = backend_world.box("web")
    backend_world.host.run(["sysctl", "-qw", "net.ipv4.conf.br-net1.route_localnet=1"])
    with secret_of_the_host(backend_world):
        assert sees(backend_world, web).startswith("secret")


@pytest.mark.parametrize("portmap", [RELAY, {}], ids=["relayed", "routed"])
def test_container_does_not_reach_the_hosts_loopback(backend_world: World, portmap: dict[str, Any]) -> None:
    world = backend_world
    web = world.box("web", ports=[published(8080)], **portmap)
    with secret_of_the_host(world):
        assert sees(world, web) == "closed"


def test_flushed_rules_do_not_open_the_hosts_loopback_if_it_is_relayed(backend_world: World) -> None:
    """Debian's nftables.service begins with `flush ruleset` whenever it starts."""
    world = backend_world
    web = world.box("web", ports=[published(8080)], **RELAY)
    world.rules("nft", "flush", "ruleset")
    with secret_of_the_host(world):
        assert (route_localnet(world), sees(world, web)) == ("0", "closed")


@pytest.mark.parametrize("host_ip", ["", "127.0.0.1", "::1"])
def test_relayed_port_is_published_where_a_host_without_ipv6_has_it(
    backend_world: World, host_ip: str
) -> None:
    world = backend_world
    world.host.run(["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"])
    four = {"ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}]]}}
    web = world.box("web", bridge=four)
    world.publish(web, [published(8080, host_ip=host_ip)], **RELAY)
    with world.serving(web):
        assert world.asks(None, "127.0.0.1", 8080) == ("" if host_ip == "::1" else "web")
    absent = "portmap: nothing is published on ::1: this host does not have it"
    assert world.warnings == ([absent] if host_ip == "::1" else [])
    world.check(web)


@pytest.mark.parametrize("name", ["bridge", "custom", "dual-stack"])
@pytest.mark.parametrize("env", [ours.STANDALONE, ours.RESIDENT], ids=["standalone", "resident"])
def test_flushed_rules_do_not_open_the_hosts_loopback_with_our_lists(
    host: PrivateHost, name: str, env: dict[str, str]
) -> None:
    """Neither to the container that publishes a port, nor to one that comes later and publishes none."""
    ours.install(host)
    document = ours.conflist(name)
    chain = Chain(document, ours.BIN, host=host, env=env)
    gateway = document["plugins"][0]["ipam"]["ranges"][0][0]["subnet"].rpartition(".")[0] + ".1"
    capabilities = {"portMappings": [published(8080), published(8080, protocol="udp")]}
    web = Attachment("web", host.add_netns("web"), capabilities=capabilities)
    later = Attachment("later", host.add_netns("later"))
    chain.add(web)
    host.run(["nft", "flush", "ruleset"])
    with talk.serve(host, None, port=5000, address="127.0.0.1", name="secret"):
        seen = [intrudes(host, "web", gateway)]
        chain.delete(web)
        chain.add(later)
        host.run(["nft", "flush", "ruleset"])
        seen.append(intrudes(host, "later", gateway))
    bridge = document["plugins"][0]["bridge"]
    switch = host.run(["sysctl", "-n", f"net.ipv4.conf.{bridge}.route_localnet"]).stdout.strip()
    chain.delete(later)
    assert (seen, switch) == (["closed", "closed"], "0")


def test_flushed_rules_do_not_open_the_hosts_loopback_after_the_last_routed_container(
    backend_world: World,
) -> None:
    world = backend_world
    web = world.box("web", ports=[published(8080)])
    later = world.box("later")
    during = route_localnet(world)
    world.unpublish(web)
    world.rules("nft", "flush", "ruleset")
    with secret_of_the_host(world):
        assert (during, route_localnet(world), sees(world, later)) == ("1", "0", "closed")


def test_routed_container_is_served_until_it_goes_whoever_goes_before(backend_world: World) -> None:
    world = backend_world
    web = world.box("web", ports=[published(8080)])
    other = world.box("other", ports=[published(8081)])
    world.unpublish(other)
    with world.serving(web):
        assert world.asks(None, "127.0.0.1", 8080) == "web"
