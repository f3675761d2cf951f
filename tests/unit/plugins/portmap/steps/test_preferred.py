"""Which network a port leads to that a container publishes on several."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from linkspan.call.reload import reload
from linkspan.host.memory import MemoryHost
from tests.harness.memory import BOX, Answer, Desk
from tests.harness.portmap import BACKENDS, portmap

PORTS = [{"hostPort": 8080, "containerPort": 80}]


class Networks:
    """Networks of one container, the first of which has its best default route; all publish one port."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.desks: dict[int, Desk] = {}
        first = Desk(MemoryHost(), network="net5")
        self.host = first.host
        self.desks = {number: first if number == 5 else first.beside(f"net{number}") for number in (5, 6, 7)}

    def join(self, number: int, **keys: Any) -> None:
        """ADD of bridge."""
        ipam = {"type": "host-local", "subnet": f"10.{number}.0.0/24", **keys}
        config = {"type": "bridge", "bridge": f"br{number}", "isDefaultGateway": True, "ipam": ipam}
        assert self.desks[number].call("ADD", config, ifname=f"eth{number}").status == 0

    def publish(self, number: int) -> None:
        assert self.portmap("ADD", number).status == 0

    def portmap(self, verb: str, number: int, **options: Any) -> Answer:
        desk = self.desks[number]
        return desk.call(
            verb, portmap(self.backend, PORTS, prevResult=desk.result), ifname=f"eth{number}", **options
        )

    def leads_to(self) -> int:
        """The number of the network that the port leads to."""
        if self.backend == "nftables":
            found = self.host.nftables.element("ports4", ("tcp", "8080"))
            return int(found.value.split(".")[1]) if found else 0
        rules = self.host.iptables.rules(4, "nat")
        chains = [str(rule) for rule in rules.get("CNI-HOSTPORT-DNAT", ())]
        if not chains:
            return 0
        chain = next(word for word in chains[0].split() if word.startswith("CNI-DN-"))
        (target,) = [str(rule) for rule in rules[chain] if "to-destination" in str(rule)]
        return int(target.partition("--to-destination ")[2].split(".")[1])


@pytest.fixture(params=BACKENDS)
def networks(request: pytest.FixtureRequest) -> Networks:
    return Networks(request.param)


@pytest.mark.parametrize("order", list(itertools.permutations((5, 6, 7))), ids=str)
def test_a_port_leads_to_the_network_of_the_best_default_route_whichever_is_published_last(
    networks: Networks, order: tuple[int, ...]
) -> None:
    for number in (5, 6, 7):
        networks.join(number)
    for number in order:
        networks.publish(number)
    assert networks.leads_to() == 5
    for number in (5, 6, 7):
        assert networks.portmap("CHECK", number).status == 0


@pytest.mark.parametrize("netns", [BOX, ""])
def test_when_the_container_leaves_it_the_next_best_is_served(networks: Networks, netns: str) -> None:
    for number in (5, 6, 7):
        networks.join(number)
        networks.publish(number)
    if not netns:
        networks.host.abandon_netns(BOX)  # without a namespace, DEL leaves a living container as it is
    served = []
    for gone in (5, 6, 7):
        assert networks.portmap("DEL", gone, netns=netns).status == 0
        served.append(networks.leads_to())
    assert served == [6, 7, 0]


def test_a_metric_in_the_list_decides(networks: Networks) -> None:
    networks.join(5, routes=[{"dst": "0.0.0.0/0", "priority": 50}])
    networks.join(6, routes=[{"dst": "0.0.0.0/0", "priority": 10}])
    for number in (5, 6):
        networks.publish(number)
    assert networks.leads_to() == 6


def test_it_is_the_same_after_a_reload(networks: Networks) -> None:
    for number in (5, 6, 7):
        networks.join(number)
        networks.publish(number)
    reload(networks.host)
    assert networks.leads_to() == 5


def test_a_repeated_add_of_another_network_changes_nothing(networks: Networks) -> None:
    for number in (5, 6):
        networks.join(number)
        networks.publish(number)
    networks.publish(6)
    assert networks.leads_to() == 5
