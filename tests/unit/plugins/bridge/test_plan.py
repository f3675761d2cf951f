"""What an attachment is planned to have: MAC address, routes, the link that forwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cni_bridge.config import Config
from cni_bridge.facts import Facts
from cni_bridge.plan import layout_of, plan_for, refuse_second
from cni_bridge.steps.container import ConfigureInterface
from cni_bridge.steps.gateway import AssignGateway
from cni_bridge.verbs import reload
from linkspan.call.transaction import Step
from linkspan.cni.errors import AlreadyAttached
from linkspan.cni.model import Address, Request, Result, Route
from linkspan.netfilter.forwarding import CHAIN
from tests.harness.bridge import IPAM, PLAIN, TAGGED, links, routes
from tests.harness.memory import Desk


def test_the_mac_address_is_derived_from_the_ipv4_address(desk: Desk) -> None:
    assert desk.call("ADD", PLAIN).document["interfaces"][2]["mac"] == "02:42:0a:05:00:02"


def test_a_second_default_route_gets_a_worse_metric(desk: Desk) -> None:
    desk.call("ADD", PLAIN)
    second = {**PLAIN, "bridge": "br1", "ipam": {"type": "host-local", "subnet": "10.6.0.0/24"}}
    desk.beside("other").call("ADD", second, ifname="eth1")
    assert [each for each in routes(desk) if each[0] == "0.0.0.0/0"] == [
        ("0.0.0.0/0", "10.5.0.1", 0),
        ("0.0.0.0/0", "10.6.0.1", 100),
    ]


def test_an_internal_network_has_no_default_route_and_no_forwarding(desk: Desk) -> None:
    internal = {"type": "bridge", "bridge": "br0", "isGateway": True, "internal": True}
    desk.call("ADD", {**internal, "ipam": {**IPAM, "routes": [{"dst": "0.0.0.0/0"}]}})
    host = links(desk)
    assert [each[0] for each in routes(desk)] == ["10.5.0.0/24"]
    assert host.sysctl("ipv4/ip_forward") == "0"
    assert desk.host.nftables.table is not None
    assert ("br0",) in desk.host.nftables.table.sets["internal"]


def forwarding_from(desk: Desk) -> list[str]:
    """The links whose packets iptables is told to let through."""
    rules = desk.host.iptables.rules(4, "filter").get(CHAIN, ())
    return [str(rule).split()[1] for rule in rules if str(rule).startswith("-i ")]


@pytest.mark.parametrize(
    ("more", "link"),
    [({}, "br0.100"), ({"isGateway": False}, "br0"), ({"ipam": {}}, "br0"), ({"vlan": 0}, "br0")],
)
def test_traffic_is_accepted_from_the_link_that_forwards_also_after_a_reload(
    desk: Desk, more: dict[str, Any], link: str
) -> None:
    desk.host.iptables.policies[4, "filter", "FORWARD"] = "DROP"
    assert desk.call("ADD", {**TAGGED, **more}).status == 0
    assert forwarding_from(desk) == [link]
    desk.host.iptables.tables.clear()
    reload(desk.host)
    assert forwarding_from(desk) == [link]


def request(**config: Any) -> Request:
    return Request(
        verb="ADD",
        plugin="bridge",
        cni_version="1.1.0",
        network="net",
        config={"bridge": "br0", **config},
        container_id="c1",
        ifname="eth0",
        netns="/run/netns/a",
    )


FACTS = Facts(has_host_end=False, has_interface=False, default_metrics={4: 100}, backend="nftables")
RESERVED = Result(ips=(Address(address="10.5.0.2/24"), Address(address="fd00:5::2/64")))


def planned(config: dict[str, Any], ipam: Result = RESERVED) -> tuple[Step, ...]:
    call = request(**config)
    own = Config.from_request(call)
    return plan_for(call, own, layout_of(call, own, FACTS, ipam))


def names(steps: tuple[Step, ...]) -> list[str]:
    return [type(each).__name__ for each in steps]


def test_the_steps_of_a_gateway_with_everything_come_in_this_order() -> None:
    config = {"isDefaultGateway": True, "ipMasq": True, "macspoofchk": True, "vlan": 7}
    assert names(planned(config)) == [
        "EnsureBridge",
        "WriteRecord",
        "CreatePair",
        "JoinBridge",
        "SetVlans",
        "FilterMac",
        "ConfigureInterface",
        "EnsureVlanLink",
        "AssignGateway",
        "AllowForwarding",
        "EnableForwarding",
        "AcceptDespitePolicy",
        "Masquerade",
    ]


def test_without_addresses_there_is_neither_a_gateway_nor_masquerading() -> None:
    steps = names(planned({"isGateway": True, "ipMasq": True}, Result()))
    assert {"AssignGateway", "EnsureVlanLink", "Masquerade"}.isdisjoint(steps)


def test_each_family_has_a_gateway_and_a_default_route_and_ipv4_stays_behind_the_present_one() -> None:
    steps = planned({"isDefaultGateway": True})
    assert [each.gateways for each in steps if isinstance(each, AssignGateway)] == [
        ("10.5.0.1/24", "fd00:5::1/64")
    ]
    assert [each.routes for each in steps if isinstance(each, ConfigureInterface)] == [
        (Route(dst="0.0.0.0/0", gw="10.5.0.1", priority=200), Route(dst="::/0", gw="fd00:5::1"))
    ]


@pytest.mark.parametrize("taken", ["has_host_end", "has_interface"])
def test_a_second_attachment_is_refused(taken: str) -> None:
    with pytest.raises(AlreadyAttached):
        refuse_second(request(), replace(FACTS, **{taken: True}))  # type: ignore[arg-type]
