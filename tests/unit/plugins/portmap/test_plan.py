"""Which steps portmap takes: from configuration and facts alone, without a host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cni_portmap.config import Config, PortMapping
from cni_portmap.facts import Facts
from cni_portmap.plan import plan_for
from cni_portmap.steps.publish import Claim
from linkspan.cni.errors import InvalidConfig
from linkspan.cni.model import Address, Interface, Request, Result
from linkspan.netfilter.backend import Backend
from linkspan.steps.extras import Warn
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


def steps(config: Config, known: Facts) -> list[str]:
    """The names of the steps in their order."""
    return [type(step).__name__ for step in plan_for(REQUEST, config, known)]


def test_iptables_has_a_step_for_each_family_between_claim_and_flows() -> None:
    assert steps(Config(mappings=(WEB,)), facts()) == [
        "Claim",
        "AcceptDespitePolicy",
        "ApplyIptables",
        "ApplyIptables",
        "RouteLoopback",
        "DeleteFlows",
    ]


def test_nftables_has_one_step_for_both_families() -> None:
    assert steps(Config(mappings=(WEB,), snat=False), facts("nftables")) == [
        "Claim",
        "AcceptDespitePolicy",
        "ApplyNftables",
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
    listening = frozenset({("tcp", 8080), ("udp", 53)})
    plan = plan_for(request, Config(mappings=(WEB, dns)), facts(listening=listening))
    assert [each.message for each in plan if isinstance(each, Warn)] == [
        "portmap: nothing is published on 192.0.2.1: the container has no address of that family",
        "portmap: a process of the host listens on 8080/tcp; connections go to container c1",
    ]
    assert isinstance(plan[-1], Warn)


def test_relayed_ports_are_published_once_the_relay_has_them() -> None:
    plan = plan_for(REQUEST, Config(mappings=(WEB,), localhost="relay"), facts("nftables"))
    assert [type(step).__name__ for step in plan] == [
        "Claim",
        "AcceptDespitePolicy",
        "Relay",
        "DeleteFlows",
    ]


def test_port_of_a_loopback_address_that_cannot_be_relayed_is_a_warning() -> None:
    local = replace(WEB, protocol="sctp", host_ip="127.0.0.1")
    plan = plan_for(REQUEST, Config(mappings=(local,), localhost="relay"), facts())
    assert [each.message for each in plan if isinstance(each, Warn)] == [
        "portmap: 8080/sctp is not published on 127.0.0.1: only tcp and udp are relayed"
    ]
