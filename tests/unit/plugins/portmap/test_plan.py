"""Which steps portmap takes: from configuration and facts alone, without a host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cni_portmap.config import Config, PortMapping
from cni_portmap.facts import Facts
from cni_portmap.plan import plan_for
from cni_portmap.steps.publish import Claim
from linkspan.cni.errors import InvalidConfig, PortTaken
from linkspan.cni.model import Address, Interface, Request, Result
from linkspan.host.contract import Listener
from linkspan.netfilter.backend import Backend
from linkspan.steps.extras import Warn
from linkspan.steps.listeners import Occupant
from tests.harness.portmap import WEB, publication

RESULT = Result(
    interfaces=(
        Interface(name="br0"),
        Interface(name="veth1"),
        Interface(name="eth0", sandbox="/run/netns/box"),
    ),
    ips=(Address(address="10.1.0.2/24", interface=2), Address(address="fd00:1::2/64", interface=2)),
)
REQUEST = Request(
    verb="ADD",
    plugin="portmap",
    cni_version="1.1.0",
    network="net1",
    container_id="c1",
    ifname="eth0",
    config={},
    prev_result=RESULT,
)


def facts(backend: Backend = "iptables", **keys: Any) -> Facts:
    return Facts(**{"earlier": None, "backend": backend, "host_link": "veth1", "interface": "br0", **keys})


def occupant(protocol: str, port: int, address: str = "::") -> Occupant:
    """Somebody else's socket."""
    listener = Listener(protocol=protocol, address=address, port=port, inode=1)
    return Occupant(listener=listener, process="nginx (pid 7)")


def steps(config: Config, known: Facts) -> list[str]:
    """The names of the steps in their order."""
    return [type(step).__name__ for step in plan_for(REQUEST, config, known)]


def test_iptables_has_a_step_for_each_family_between_claim_and_flows() -> None:
    assert steps(Config(mappings=(WEB,)), facts()) == [
        "Claim",
        "AcceptForwarding",
        "ApplyIptables",
        "ApplyIptables",
        "RouteLoopback",
        "PreferBestRoute",
        "DeleteFlows",
    ]


def test_nftables_has_one_step_for_both_families() -> None:
    assert steps(Config(mappings=(WEB,), snat=False), facts("nftables")) == [
        "Claim",
        "AcceptForwarding",
        "ApplyNftables",
        "PreferBestRoute",
        "DeleteFlows",
    ]


def test_what_is_claimed_is_what_the_facts_and_prev_result_say() -> None:
    claim = plan_for(REQUEST, Config(mappings=(WEB,)), facts())[0]
    assert claim == Claim(publication(WEB), None)


def test_hairpin_mode_that_an_earlier_add_enabled_stays_ours() -> None:
    earlier = replace(publication(WEB), hairpin=True)
    config = Config(mappings=(WEB,))
    assert "EnableHairpin" in steps(config, facts(needs_hairpin=True))
    assert "EnableHairpin" in steps(config, facts(earlier=earlier))
    assert "EnableHairpin" not in steps(config, facts())


def test_without_ports_only_what_is_recorded_is_withdrawn() -> None:
    nothing = Config(mappings=())
    assert steps(nothing, Facts(earlier=None)) == []
    assert steps(nothing, Facts(earlier=publication(WEB))) == ["Withdraw"]


def test_what_the_backend_does_not_support_is_refused_before_any_step() -> None:
    with pytest.raises(InvalidConfig, match="conditionsV4"):
        plan_for(REQUEST, Config(mappings=(WEB,), conditions_v4=("-s", "10.0.0.0/8")), facts("nftables"))


def test_listeners_and_unreachable_addresses_are_warnings_at_the_end() -> None:
    dns = PortMapping(host_port=53, container_port=53, protocol="udp", host_ip="192.0.2.1")
    request = replace(REQUEST, prev_result=replace(RESULT, ips=RESULT.ips[1:]))
    occupants = (occupant("tcp", 8080), occupant("udp", 53))
    plan = plan_for(request, Config(mappings=(WEB, dns)), facts(occupants=occupants))
    assert [each.message for each in plan if isinstance(each, Warn)] == [
        "portmap: nothing is published on 192.0.2.1: the container has no address of that family",
        "portmap: a process of the host listens on 8080/tcp; connections go to container c1",
    ]
    assert isinstance(plan[-1], Warn)


def warned(config: Config, known: Facts, *addresses: str) -> list[str]:
    """The warnings of an ADD for a container with these addresses."""
    ips = tuple(Address(address=each, interface=2) for each in addresses)
    plan = plan_for(replace(REQUEST, prev_result=replace(RESULT, ips=ips)), config, known)
    return [each.message for each in plan if isinstance(each, Warn)]


@pytest.mark.parametrize("host_ip", ["", "0.0.0.0", "::", "192.0.2.1", "::1"])
@pytest.mark.parametrize("localhost", ["", "relay"])
def test_ports_of_a_container_without_addresses_are_warned_of(host_ip: str, localhost: Any) -> None:
    config = Config(mappings=(replace(WEB, host_ip=host_ip),), localhost=localhost)
    assert warned(config, facts()) == [
        "portmap: 8080/tcp is not published: prevResult has no address of eth0 in the container"
    ]


def test_direct_access_to_a_container_without_addresses_is_warned_of() -> None:
    assert warned(Config(mappings=(), drop_direct_access=True), facts()) == [
        "portmap: direct access is not dropped: prevResult has no address of eth0 in the container"
    ]


@pytest.mark.parametrize(
    ("backend", "bit", "told"), [("nftables", 14, 1), ("nftables", 13, 0), ("iptables", 14, 0)]
)
def test_mark_that_the_backend_does_not_set_is_warned_of(backend: Backend, bit: int, told: int) -> None:
    config = Config(mappings=(WEB,), mark_bit=bit)
    found = warned(config, facts(backend), "10.1.0.2/24")
    assert found == ["portmap: markMasqBit has no effect: the nftables backend marks no packets"][:told]


@pytest.mark.parametrize("host_ip", ["::", "2001:db8::1"])
def test_ports_of_a_family_that_the_container_lacks_are_warned_of_once(host_ip: str) -> None:
    mappings = tuple(replace(WEB, host_ip=host_ip, host_port=port) for port in (80, 81))
    assert warned(Config(mappings=mappings), facts(), "10.1.0.2/24") == [
        f"portmap: nothing is published on {host_ip}: the container has no address of that family"
    ]


def test_port_of_every_address_needs_an_address_of_one_family() -> None:
    for address in ("10.1.0.2/24", "fd00:1::2/64"):
        assert warned(Config(mappings=(WEB,)), facts(), address) == []


@pytest.mark.parametrize(
    ("keys", "known", "expected"),
    [
        ({}, {}, []),
        ({"localhost": "relay", "snat": False}, {"interface": ""}, []),
        (
            {"snat": False},
            {},
            ["portmap: 8080/tcp of 127.0.0.1 does not reach the container: snat is false"],
        ),
        (
            {},
            {"interface": ""},
            [
                "portmap: 8080/tcp of 127.0.0.1 does not reach the container: the host has no route to the "
                "container"
            ],
        ),
    ],
    ids=["routed", "relayed", "without snat", "without a route"],
)
def test_port_of_127_0_0_1_that_leads_nowhere_is_warned_of(
    keys: dict[str, Any], known: dict[str, Any], expected: list[str]
) -> None:
    config = Config(mappings=(replace(WEB, host_ip="127.0.0.1"),), **keys)
    assert warned(config, facts(**known), "10.1.0.2/24") == expected


def test_relayed_ports_are_published_once_the_relay_has_them() -> None:
    plan = plan_for(REQUEST, Config(mappings=(WEB,), localhost="relay"), facts("nftables"))
    assert [type(step).__name__ for step in plan] == [
        "Claim",
        "AcceptForwarding",
        "Relay",
        "PreferBestRoute",
        "DeleteFlows",
    ]


def test_port_of_a_loopback_address_that_cannot_be_relayed_is_a_warning() -> None:
    local = replace(WEB, protocol="sctp", host_ip="127.0.0.1")
    plan = plan_for(REQUEST, Config(mappings=(local,), localhost="relay"), facts())
    assert [each.message for each in plan if isinstance(each, Warn)] == [
        "portmap: 8080/sctp is not published on 127.0.0.1: only tcp and udp are relayed"
    ]


@pytest.mark.parametrize(
    ("host_ip", "address", "overlaps"),
    [
        ("", "0.0.0.0", True),
        ("", "127.0.0.1", True),
        ("", "::1", True),
        ("0.0.0.0", "::1", False),
        ("::", "192.0.2.1", False),
        ("192.0.2.1", "0.0.0.0", True),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::", False),
        ("2001:db8::1", "::", True),
    ],
)
def test_port_is_taken_where_nobody_else_could_listen(host_ip: str, address: str, *, overlaps: bool) -> None:
    config = Config(mappings=(replace(WEB, host_ip=host_ip),), refuse_taken_ports=True)
    known = facts(occupants=(occupant("tcp", 8080, address),))
    if overlaps:
        with pytest.raises(PortTaken, match=r"host port 8080/tcp is in use by nginx \(pid 7\)"):
            plan_for(REQUEST, config, known)
    else:
        assert plan_for(REQUEST, config, known)


@pytest.mark.parametrize("occupied", [("udp", 8080), ("tcp", 8081), ("sctp", 8080)])
def test_another_port_or_protocol_is_not_taken(occupied: tuple[str, int]) -> None:
    config = Config(mappings=(WEB,), refuse_taken_ports=True)
    assert plan_for(REQUEST, config, facts(occupants=(occupant(*occupied),)))
