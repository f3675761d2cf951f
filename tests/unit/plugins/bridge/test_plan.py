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
from cni_bridge.steps.sources import RouteBySource
from linkspan.call.reload import reload
from linkspan.call.sandbox import Sandbox
from linkspan.call.transaction import Step
from linkspan.cni.errors import AlreadyAttached
from linkspan.cni.model import Address, Request, Result, Route
from linkspan.host.contract import Netns
from linkspan.netfilter.forwarding import CHAIN
from linkspan.steps.closing import Close
from tests.harness.bridge import IPAM, PLAIN, TAGGED, links, own_objects, routes
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


SANDBOX = Sandbox(Netns(4026532000, 7), "/run/netns/c1", "boot")
FACTS = Facts(
    sandbox=SANDBOX,
    has_host_end=False,
    has_interface=False,
    default_metrics={4: 100},
    others=(),
    backend="nftables",
)
RESERVED = Result(ips=(Address(address="10.5.0.2/24"), Address(address="fd00:5::2/64")))


def planned(config: dict[str, Any], ipam: Result = RESERVED) -> tuple[Step, ...]:
    call = request(**config)
    own = Config.from_request(call)
    return plan_for(call, own, layout_of(call, own, FACTS, ipam))


def names(steps: tuple[Step, ...]) -> list[str]:
    return [type(each).__name__ for each in steps]


def test_the_steps_of_a_gateway_with_everything_come_in_this_order() -> None:
    config = {"isDefaultGateway": True, "ipMasq": True, "macspoofchk": True, "isolated": True, "vlan": 7}
    assert names(planned(config)) == [
        "EnsureBridge",
        "WriteRecord",
        "CreatePair",
        "JoinBridge",
        "SetVlans",
        "FilterFrames",
        "Close",
        "ConfigureInterface",
        "EnsureVlanLink",
        "AssignGateway",
        "AllowForwarding",
        "EnableForwarding",
        "AcceptForwarding",
        "Masquerade",
    ]


def test_on_a_further_network_every_interface_of_the_container_gets_routes_by_source() -> None:
    call = request(isDefaultGateway=True)
    config = Config.from_request(call)
    facts = replace(FACTS, others=("eth1", "eth2"))
    steps = plan_for(call, config, layout_of(call, config, facts, RESERVED))
    assert [each.ifname for each in steps if isinstance(each, RouteBySource)] == ["eth1", "eth2", "eth0"]
    assert not any(
        isinstance(each, RouteBySource)
        for each in plan_for(call, config, layout_of(call, config, facts, Result()))
    )


@pytest.mark.parametrize(
    ("config", "ipam", "link"),
    [
        ({"isGateway": True}, RESERVED, "br0"),
        ({"isGateway": True, "vlan": 7}, RESERVED, "br0.7"),
        ({"isGateway": True, "vlan": 7}, Result(), "br0"),
        ({"vlan": 7}, RESERVED, "br0"),
    ],
)
def test_the_link_that_is_closed_is_the_one_that_packets_are_routed_to(
    config: dict[str, Any], ipam: Result, link: str
) -> None:
    closed = [each for each in planned({**config, "isolated": True}, ipam) if isinstance(each, Close)]
    assert [(each.link, each.bridge) for each in closed] == [(link, "br0")]


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


def test_a_route_that_is_listed_twice_is_added_once(desk: Desk) -> None:
    listed = [{"dst": "10.9.0.0/16"}, {"dst": "10.9.3.4/16"}, {"dst": "10.9.0.0/16", "gw": "10.5.0.9"}]
    answer = desk.call("ADD", {**PLAIN, "ipam": {**IPAM, "routes": listed}})
    added = [each[:2] for each in routes(desk) if each[0] == "10.9.0.0/16"]
    assert added == [("10.9.0.0/16", "10.5.0.9"), ("10.9.0.0/16", "10.5.0.1")]
    assert len([each for each in answer.document["routes"] if each["dst"] == "10.9.0.0/16"]) == 2
    assert desk.call("CHECK", {**PLAIN, "ipam": {**IPAM, "routes": listed}}).status == 0


def test_a_route_to_the_container_s_own_subnet_is_added(desk: Desk) -> None:
    own = {**PLAIN, "ipam": {**IPAM, "routes": [{"dst": "10.5.0.0/24"}]}}
    assert desk.call("ADD", own).status == 0
    assert ("10.5.0.0/24", "10.5.0.1", 0) in routes(desk)


def test_a_route_of_a_family_without_an_address_is_left_out_with_a_warning(desk: Desk) -> None:
    ipam = {"type": "host-local", "subnet": "10.5.0.0/24", "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}
    answer = desk.call("ADD", {**PLAIN, "ipam": ipam})
    assert [each["dst"] for each in answer.document["routes"]] == ["0.0.0.0/0"]
    assert desk.host.warnings == [
        "bridge: $.ipam.routes: ::/0 is left out, as the container has no IPv6 address"
    ]


def test_masquerading_without_addresses_is_a_warning(desk: Desk) -> None:
    assert desk.call("ADD", {"type": "bridge", "bridge": "br0", "ipMasq": True}).status == 0
    assert "$.ipMasq: nothing is masqueraded" in desk.host.warnings[0]


@pytest.mark.parametrize(("mtu", "code"), [(1279, 7), (1280, 0), (0, 0)])
def test_an_mtu_that_is_too_small_for_ipv6_is_refused_and_leaves_nothing(
    desk: Desk, mtu: int, code: int
) -> None:
    before = desk.host.state()
    answer = desk.call("ADD", {**PLAIN, "mtu": mtu})
    assert answer.code == code
    if code:
        assert answer.msg.startswith("$.mtu: 1279 is too small for IPv6")
        assert {line for line in desk.host.state() - before if "br0" in line or "c1" in line} == set()


def test_a_small_mtu_is_fine_without_ipv6(desk: Desk) -> None:
    ipam = {"type": "host-local", "subnet": "10.5.0.0/24"}
    assert desk.call("ADD", {**PLAIN, "mtu": 1200, "ipam": ipam}).status == 0


ROUTERS = [
    ({"subnet": "fd00:7::/64", "gateway": "fe80::1"}, [{"dst": "::/0"}], ("::/0", "fe80::1")),
    (
        {"subnet": "10.5.0.0/24", "gateway": "192.0.2.1"},
        [{"dst": "192.0.2.1/32", "scope": 253}, {"dst": "0.0.0.0/0"}],
        ("0.0.0.0/0", "192.0.2.1"),
    ),
]


@pytest.mark.parametrize(("one", "listed", "default"), ROUTERS, ids=["link-local", "on-link"])
@pytest.mark.parametrize("gateway", [False, True])
def test_a_gateway_may_be_outside_the_subnet(
    desk: Desk, one: dict[str, str], listed: list[dict[str, Any]], default: tuple[str, str], gateway: bool
) -> None:
    ipam = {"type": "host-local", "ranges": [[one]], "routes": listed}
    config = {"type": "bridge", "bridge": "br0", "isGateway": gateway, "ipam": ipam}
    assert desk.call("ADD", config).status == 0
    assert default in [each[:2] for each in routes(desk, 6 if ":" in default[0] else 4)]
    assert desk.call("CHECK", config).status == 0
    desk.host.add_netns("/run/netns/second")
    assert desk.call("ADD", config, container_id="c2", netns="/run/netns/second").status == 0


def test_a_gateway_to_which_nothing_leads_is_an_error_with_the_route_that_is_missing(desk: Desk) -> None:
    ipam = {"type": "host-local", "subnet": "10.5.0.0/24", "gateway": "192.0.2.1"}
    routed = {**ipam, "routes": [{"dst": "0.0.0.0/0"}]}
    answer = desk.call("ADD", {"type": "bridge", "bridge": "br0", "ipam": routed})
    assert answer.code == 101
    assert '{"dst": "192.0.2.1/32", "scope": 253}' in answer.document["details"]


def test_addresses_of_loopback_come_after_the_container_s_own(desk: Desk) -> None:
    """Nomad lists loopback first."""
    lo = {"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": "/run/netns/box"}
    ips = [{"address": "127.0.0.1/8", "interface": 0}, {"address": "::1/128", "interface": 0}]
    before = {"cniVersion": "1.1.0", "interfaces": [lo], "ips": ips}
    found = desk.call("ADD", {**PLAIN, "prevResult": before}).document["ips"]
    assert [each["address"] for each in found] == ["10.5.0.2/24", "fd00:5::2/64", "127.0.0.1/8", "::1/128"]
    assert [each["interface"] for each in found] == [3, 3, 0, 0]


# --- what the host uses ---------------------------------------------------------------------------------

OVERLAPPING = {**PLAIN, "refuseOverlap": True}


def lan(desk: Desk, address: str = "10.5.0.7/24") -> None:
    """A link of the host with an address."""
    host = links(desk)
    host.create_bridge("lan0")
    host.change("lan0", up=True)
    host.add_address("lan0", address)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("10.5.0.7/24", "10.5.0.0/24 overlaps 10.5.0.0/24 (link lan0)"),
        ("10.5.0.1/32", "10.5.0.0/24 overlaps 10.5.0.1/32 (link lan0)"),
        ("10.1.2.3/8", "10.5.0.0/24 overlaps 10.0.0.0/8 (link lan0)"),
        ("fd00:5::7/64", "fd00:5::/64 overlaps fd00:5::/64 (link lan0)"),
    ],
)
def test_a_network_of_the_host_is_refused_and_nothing_is_created(
    desk: Desk, address: str, words: str
) -> None:
    lan(desk, address)
    answer = desk.call("ADD", OVERLAPPING)
    assert (answer.code, answer.document["msg"]) == (7, f"$.ipam: {words}")
    assert (links(desk).get("br0"), own_objects(desk)) == (None, [])


@pytest.mark.parametrize(
    "remedy", [{"refuseOverlap": False}, {"ipam": {"type": "host-local", "subnet": "10.6.0.0/24"}}]
)
def test_either_remedy_of_the_error_helps(desk: Desk, remedy: dict[str, Any]) -> None:
    lan(desk)
    assert desk.call("ADD", OVERLAPPING).document["details"].startswith("choose a subnet that")
    assert desk.call("ADD", {**OVERLAPPING, **remedy}).status == 0


def test_without_the_key_a_network_of_the_host_is_accepted(desk: Desk) -> None:
    lan(desk)
    assert desk.call("ADD", PLAIN).status == 0
    assert desk.host.warnings == []


def test_without_a_gateway_the_host_loses_nothing(desk: Desk) -> None:
    lan(desk)
    assert desk.call("ADD", {**OVERLAPPING, "isDefaultGateway": False}).status == 0


def test_a_wider_route_is_a_warning(desk: Desk) -> None:
    lan(desk, "192.0.2.7/24")
    links(desk).add_route("10.0.0.0/8", ifname="lan0", gw="192.0.2.1")
    assert desk.call("ADD", OVERLAPPING).status == 0
    assert "10.5.0.0/24 is part of 10.0.0.0/8 (route through lan0)" in desk.host.warnings[0]


def test_two_networks_of_ours_with_one_subnet_are_a_warning(desk: Desk) -> None:
    desk.call("ADD", OVERLAPPING)
    answer = desk.beside("other").call("ADD", {**OVERLAPPING, "bridge": "br1"}, ifname="eth1")
    assert answer.status == 0
    assert "10.5.0.0/24 overlaps 10.5.0.0/24 (link br0), another network" in desk.host.warnings[0]


def test_once_the_gateway_has_its_address_nothing_is_compared(desk: Desk) -> None:
    desk.call("ADD", OVERLAPPING)
    lan(desk)
    desk.host.add_netns("/run/netns/two")
    desk.host.requests.clear()
    assert desk.call("ADD", OVERLAPPING, container_id="c2", netns="/run/netns/two").status == 0
    asked = [name for name, _ in desk.host.requests]
    assert "links.all" not in asked
    assert asked.count("links.addresses") == 2


def test_a_second_subnet_of_a_network_is_compared_too(desk: Desk) -> None:
    desk.call("ADD", OVERLAPPING)
    lan(desk, "10.6.0.7/24")
    desk.host.add_netns("/run/netns/two")
    second = {**OVERLAPPING, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.6.0.0/24"}]]}}
    assert desk.call("ADD", second, container_id="c2", netns="/run/netns/two").code == 7
