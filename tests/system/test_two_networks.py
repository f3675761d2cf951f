"""A container on two networks: whoever reaches it by either is answered by the same way, whatever the filters.

The matrix: which network was attached first, which one is gone, and reverse-path filters (off, strict, loose) on
the host and in the container; on each of these, IPv4 and IPv6, by published ports, directly, and by name server.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from cni_bridge.steps.sources import PRIORITY
from tests.harness import talk
from tests.harness.privatehost import HOST_V4, HOST_V6, OUTSIDE
from tests.harness.scale import sample
from tests.harness.world import Box, World, published

pytestmark = pytest.mark.root

PORT, DNS = 8080, 53
_FILTERS = "for each in /proc/sys/net/ipv4/conf/*/rp_filter; do echo {} >$each; done"
FILTERS = list(itertools.product((0, 1, 2), repeat=2))
ORDERS = (("net1", "net2"), ("net2", "net1"))
CASES = [
    pytest.param(
        *(masquerades, order, gone, *filters),
        id=f"{'masq' * masquerades}-{'-'.join(order)}-without-{gone or 'none'}-rp{filters[0]}{filters[1]}",
    )
    for masquerades in (True, False)
    for order in ORDERS
    for gone in ("", "net1", "net2")
    for filters in FILTERS
]


@dataclass(frozen=True)
class Two:
    """A container on two networks, and a neighbour on each."""

    world: World
    boxes: dict[str, Box]
    neighbours: dict[str, Box]
    masquerades: bool

    def leave(self, network: str) -> None:
        """Have the container, which lives on, leave a network."""
        box = self.boxes.pop(network)
        self.world.unpublish(box, knows=True)
        self.world.call("bridge", "DEL", box, self.world.bridge_config(network))

    def check(self, box: Box) -> None:
        """CHECK of both plugins."""
        config = self.world.bridge_config(box.network, {"ipMasq": self.masquerades})
        self.world.call("bridge", "CHECK", box, {**config, "prevResult": box.result})
        self.world.check(box)

    def filter(self, on_host: int, in_container: int) -> None:
        """Set every reverse-path filter."""
        host = self.world.host
        host.run(["sh", "-c", _FILTERS.format(on_host)])
        host.run(["sh", "-c", _FILTERS.format(in_container)], netns="two")

    def asking(self) -> Iterator[tuple[str, str | None, str, int]]:
        """(what it is called, namespace, address, port) of everything that must be answered by the container."""
        callers: dict[str, str | None] = {
            "a neighbour on the LAN": OUTSIDE,
            "the host": None,
            "itself": "two",
        }
        callers |= {f"a neighbour on {each.network}": each.netns for each in self.neighbours.values()}
        for who, netns in callers.items():
            for address, port in itertools.product((HOST_V4, HOST_V6), (PORT, *map(own_port, self.boxes))):
                # Without masquerading its own address would come in, which no host accepts from others.
                if who != "itself" or self.masquerades or port == PORT:
                    yield f"{who} at {address} {port}", netns, address, port
            for box in self.boxes.values():
                yield from ((f"{who} at {each} itself", netns, each, 80) for each in (box.v4, box.v6))
        yield "the host at 127.0.0.1", None, "127.0.0.1", PORT

    def unanswered(self) -> list[str]:
        """Which of those nobody, or somebody else, answers, and the gateways that do not answer the container."""
        wrong = [
            what
            for what, netns, address, port in self.asking()
            if self.world.asks(netns, address, port, wait=0.5) != "two"
        ]
        gateways = (str(each["gateway"]) for box in self.boxes.values() for each in box.result["ips"])
        return wrong + [each for each in gateways if self.world.asks("two", each, DNS, kind="udp") != "dns"]


def own_port(network: str) -> int:
    """The port that the container publishes on that network only."""
    return PORT + int(network.removeprefix("net"))


def two_networks(world: World, order: tuple[str, ...], *, masquerades: bool = True) -> Two:
    """A container attached in this order, with one port published on both, as runtimes do, and one on each."""
    netns = world.host.add_netns("two", loopback_up=True)
    more = {"ipMasq": masquerades}
    boxes = {
        network: world.box(
            "two",
            network=network,
            ifname=f"eth{number}",
            netns=netns,
            ports=[published(PORT), published(own_port(network))],
            bridge=more,
        )
        for number, network in enumerate(order)
    }
    neighbours = {each: world.box(f"near-{each}", network=each, bridge=more) for each in sorted(order)}
    world.host.outside(["ip", "route", "add", "10.0.0.0/8", "via", HOST_V4])
    world.host.outside(["ip", "route", "add", "fd00::/16", "via", HOST_V6])
    return Two(world, boxes, neighbours, masquerades)


@contextmanager
def serving(two: Two) -> Iterator[None]:
    """The container's server, and a server on the host where a name server would be."""
    with (
        two.world.serving(next(iter(two.boxes.values()))),
        talk.serve(two.world.host, None, port=DNS, kind="udp", name="dns"),
    ):
        yield


@pytest.mark.parametrize(("masquerades", "order", "gone", "on_host", "in_container"), sample(CASES, short=8))
def test_whoever_reaches_a_container_by_either_network_is_answered(
    backend_world: World,
    masquerades: bool,
    order: tuple[str, ...],
    gone: str,
    on_host: int,
    in_container: int,
) -> None:
    two = two_networks(backend_world, order, masquerades=masquerades)
    if gone:
        two.leave(gone)
    two.filter(on_host, in_container)
    with serving(two):
        assert two.unanswered() == []
    for box in two.boxes.values():
        two.check(box)


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_published_ports_are_answered_where_rules_are_ignored(
    backend_world: World, order: tuple[str, ...]
) -> None:
    """As under gVisor, whose network stack knows the routes of the namespace and no rules."""
    two = two_networks(backend_world, order)
    for family in ("-4", "-6"):
        backend_world.host.run(["ip", family, "rule", "delete", "priority", str(PRIORITY)], netns="two")
        backend_world.host.run(["ip", family, "rule", "delete", "priority", str(PRIORITY)], netns="two")
    two.filter(1, 0)
    with serving(two):
        assert [each for each in two.unanswered() if each.endswith(f" {PORT}")] == []


def test_a_container_that_left_a_network_has_no_trace_of_it(backend_world: World) -> None:
    world = backend_world
    netns = world.host.add_netns("two", loopback_up=True)
    world.box("two", netns=netns)
    routing = "ip rule; ip -6 rule; ip route show table all; ip -6 route show table all"

    def shown() -> list[str]:
        return sorted(world.host.run(["sh", "-c", routing], netns="two").stdout.splitlines())

    before = shown()
    second = world.box("two", network="net2", ifname="eth1", netns=netns)
    assert shown() != before
    world.call("bridge", "DEL", second, world.bridge_config("net2"))
    assert shown() == before
