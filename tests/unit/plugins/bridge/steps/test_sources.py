"""The routes that each address of a container on several networks has of its own."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from cni_bridge.steps.sources import PRIORITY
from linkspan.cni.addresses import FAMILIES
from linkspan.host.contract import PolicyRule
from linkspan.host.memory import MemoryHost
from tests.harness.memory import BOX, Answer, Desk


def network(number: int, **keys: Any) -> dict[str, Any]:
    """A dual-stack network with a default route."""
    ranges = [[{"subnet": f"10.{number}.0.0/24"}], [{"subnet": f"fd00:{number}::/64"}]]
    bridge = {"type": "bridge", "bridge": f"br{number}", "isDefaultGateway": True}
    return {**bridge, "ipam": {"type": "host-local", "ranges": ranges}, **keys}


class Networks:
    """Networks 5, 6, ... of one container, whose interface on 5 is eth0."""

    def __init__(self, host: MemoryHost | None = None) -> None:
        self.desks = {5: Desk(host, network="net5")}
        self.results: dict[int, Any] = {}

    def call(self, verb: str, number: int, **keys: Any) -> Answer:
        desk = self.desks.setdefault(number, self.desks[5].beside(f"net{number}"))
        netns = keys.pop("netns", BOX)
        answer = desk.call(verb, network(number, **keys), ifname=f"eth{number - 5}", netns=netns)
        assert answer.status == 0 or verb == "CHECK", answer
        return answer

    @property
    def box(self) -> Any:
        return self.desks[5].host.namespace(BOX)

    def rules(self) -> dict[str, int]:
        """The table of each address."""
        rules = [each for family in FAMILIES for each in self.box.rules(family) or ()]
        assert all(each.priority == PRIORITY for each in rules)
        return {each.source: each.table for each in rules}

    def table(self, source: str) -> list[tuple[str, str, str]]:
        """(dst, gw, ifname) of the routes that an address has of its own."""
        family = 6 if ":" in source else 4
        found = self.box.routes(family, table=self.rules()[source])
        return [(each.dst, each.gw, each.ifname) for each in found]


@pytest.fixture
def networks() -> Networks:
    return Networks()


def test_the_only_network_of_a_container_has_no_rules(networks: Networks) -> None:
    networks.call("ADD", 5)
    assert (networks.rules(), networks.box.routes(4, table=0)) == ({}, networks.box.routes(4))


def test_when_a_second_network_joins_each_address_has_the_routes_of_its_interface(networks: Networks) -> None:
    networks.call("ADD", 5)
    networks.call("ADD", 6)
    assert networks.table("10.5.0.2") == [("10.5.0.0/24", "", "eth0"), ("0.0.0.0/0", "10.5.0.1", "eth0")]
    assert networks.table("10.6.0.2") == [("10.6.0.0/24", "", "eth1"), ("0.0.0.0/0", "10.6.0.1", "eth1")]
    assert networks.table("fd00:5::2") == [("fd00:5::/64", "", "eth0"), ("::/0", "fd00:5::1", "eth0")]
    assert networks.table("fd00:6::2") == [("fd00:6::/64", "", "eth1"), ("::/0", "fd00:6::1", "eth1")]


def test_a_third_network_changes_nothing_for_the_first_two(networks: Networks) -> None:
    for number in (5, 6):
        networks.call("ADD", number)
    before = networks.rules()
    networks.call("ADD", 7)
    after = networks.rules()
    assert {source: after[source] for source in before} == before
    assert set(after) - set(before) == {"10.7.0.2", "fd00:7::2"}
    assert len(set(after.values())) == 3


def test_a_table_that_has_routes_already_is_not_used(networks: Networks) -> None:
    routes = [{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16", "gw": "10.5.0.9", "table": 10002}]
    ipam = {"type": "host-local", "subnet": "10.5.0.0/24", "routes": routes}
    networks.call("ADD", 5, ipam=ipam)
    networks.call("ADD", 6)
    assert networks.box.get("eth0").index == 2
    assert networks.rules()["10.5.0.2"] == 110002
    assert len(networks.box.routes(4, table=10002)) == 1


@pytest.mark.parametrize("keys", [{"internal": True, "isDefaultGateway": False}, {"isDefaultGateway": False}])
def test_a_network_without_a_default_route_has_no_rules(networks: Networks, keys: dict[str, Any]) -> None:
    networks.call("ADD", 5)
    networks.call("ADD", 6, **keys)
    assert set(networks.rules()) == {"10.5.0.2", "fd00:5::2"}


@pytest.mark.parametrize(("gone", "left"), [(5, 6), (6, 5)])
def test_the_last_network_that_is_left_needs_no_rules(networks: Networks, gone: int, left: int) -> None:
    for number in (5, 6):
        networks.call("ADD", number)
    networks.call("DEL", gone)
    assert (networks.rules(), networks.box.routes(4, table=0)) == ({}, networks.box.routes(4))
    assert [each.gw for each in networks.box.routes(4) if each.is_default] == [f"10.{left}.0.1"]


def test_two_networks_that_are_left_keep_their_rules(networks: Networks) -> None:
    for number in (5, 6, 7):
        networks.call("ADD", number)
    before = networks.rules()
    networks.call("DEL", 6)
    assert networks.rules() == {
        key: value for key, value in before.items() if ":6:" not in key and ".6." not in key
    }


@pytest.mark.parametrize("netns", ["", "/run/netns/gone"])
def test_del_needs_no_namespace(networks: Networks, netns: str) -> None:
    for number in (5, 6):
        networks.call("ADD", number)
    box = networks.box
    networks.desks[5].host.abandon_netns(BOX)  # without a namespace, DEL leaves a living container as it is
    networks.call("DEL", 5, netns=netns)
    assert box.get("eth0") is None


def test_del_of_an_attachment_of_an_earlier_build_removes_nothing_of_others(networks: Networks) -> None:
    for number in (5, 6, 7):
        networks.call("ADD", number)
    before = networks.rules()
    networks.desks[5].call("DEL", network(8), ifname="eth9")
    assert networks.rules() == before


def test_del_by_a_path_that_leads_to_another_container_by_now_removes_nothing_there(
    networks: Networks,
) -> None:
    networks.call("ADD", 5)
    networks.call("ADD", 6, isDefaultGateway=False)
    before = networks.rules()
    assert networks.desks[5].call("DEL", network(8), container_id="c2", ifname="eth9").status == 0
    assert networks.rules() == before != {}


def test_rules_of_others_stay(networks: Networks) -> None:
    foreign = PolicyRule(source="10.5.0.2", table=100, priority=100)
    networks.call("ADD", 5)
    networks.box.add_rule(foreign)
    networks.call("ADD", 6)
    networks.call("DEL", 6)
    networks.call("DEL", 5)
    assert networks.box.rules(4) == (foreign,)


def test_an_add_that_fails_takes_the_rules_of_both_back(networks: Networks) -> None:
    networks.call("ADD", 5)
    before = networks.box.routes(4, table=0)
    host = networks.desks[5].host
    host.revive()
    host.refuse = {("links.add_address", 3): errno.ENOMEM}  # the gateway's, after the container's two
    answer = networks.desks[5].beside("net6").call("ADD", network(6), ifname="eth1")
    assert answer.status != 0
    assert (networks.rules(), networks.box.routes(4, table=0)) == ({}, before)


def test_a_kernel_without_policy_routing_is_a_warning(networks: Networks) -> None:
    networks.call("ADD", 5)
    networks.box.policy.known = False
    networks.call("ADD", 6)
    assert any("replies from eth1 may leave" in each for each in networks.desks[5].host.warnings)
    assert networks.box.routes(4, table=0) == networks.box.routes(4)
    for number in (5, 6):
        assert networks.call("CHECK", number).status == 0
        networks.call("DEL", number)


@pytest.mark.parametrize("number", [5, 6])
def test_check_accepts_what_add_created_and_misses_each_rule(networks: Networks, number: int) -> None:
    for each in (5, 6):
        networks.call("ADD", each)
    assert networks.call("CHECK", number).status == 0
    (lost,) = [each for each in networks.box.rules(6) if f":{number}:" in each.source]
    networks.box.delete_rule(lost)
    assert f"fd00:{number}::2" in networks.call("CHECK", number).msg


def test_check_misses_the_route_that_a_rule_leads_to(networks: Networks) -> None:
    for each in (5, 6):
        networks.call("ADD", each)
    (route,) = [
        each for each in networks.box.routes(4, table=networks.rules()["10.6.0.2"]) if each.is_default
    ]
    networks.box.delete_route(route)
    assert "10.6.0.2" in networks.call("CHECK", 6).msg


def test_check_accepts_two_attachments_of_an_earlier_build(networks: Networks) -> None:
    """They have no rules, and no record says that they should."""
    for each in (5, 6):
        networks.call("ADD", each)
    for family in FAMILIES:
        for rule in networks.box.rules(family):
            networks.box.delete_rule(rule)
    assert networks.call("CHECK", 5).status == 0


def test_one_default_route_that_is_left_needs_no_rule(networks: Networks) -> None:
    networks.call("ADD", 5)
    networks.call("ADD", 6)
    networks.call("DEL", 5)
    assert networks.call("CHECK", 6).status == 0
