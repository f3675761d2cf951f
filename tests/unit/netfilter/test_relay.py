"""What a relayed port may be, and the rules that redirect it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from linkspan.netfilter import relay
from linkspan.netfilter.relay import RelayedPort
from linkspan.netfilter.rules import Element, Flow, Match, Rule

EVERY = RelayedPort(
    family=4,
    protocol="tcp",
    host_ip="",
    host_port=8080,
    address="10.1.0.2",
    container_port=80,
    redirect=61000,
)
ONE = replace(EVERY, host_ip="127.0.0.1", protocol="udp")
SIX = replace(EVERY, family=6, host_ip="::1", address="fd00::2")


def test_port_survives_its_way_through_json() -> None:
    assert RelayedPort.from_json(ONE.to_json()) == ONE


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": "sctp"},
        {"family": 5},
        {"host_port": 0},
        {"host_port": True},
        {"container_port": 65536},
        {"redirect": -1},
        {"address": "web"},
        {"host_ip": "192.0.2.1"},
    ],
)
def test_what_cannot_be_relayed_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller needs no more than that
        RelayedPort.from_json({**EVERY.to_json(), **change})


def test_port_of_every_loopback_address_is_an_element_of_protocol_and_port() -> None:
    assert tuple(relay.elements([EVERY], "web")) == (
        Element(name="relayed4", key=("tcp", "8080"), value="61000", comment="web"),
    )


def test_port_of_one_loopback_address_is_an_element_with_it() -> None:
    assert tuple(relay.elements([ONE], "web")) == (
        Element(name="relayed4_at", key=("udp", "127.0.0.1", "8080"), value="61000", comment="web"),
    )


def test_ipv6_has_one_loopback_address() -> None:
    assert tuple(relay.elements([SIX], "web")) == (
        Element(name="relayed6", key=("tcp", "8080"), value="61000", comment="web"),
    )


def test_only_udp_has_flows_that_outlive_the_port() -> None:
    assert tuple(relay.flows([EVERY, ONE])) == (
        Flow(family=4, protocol="udp", to_port=8080, to_address="127.0.0.1", reply_from="127.0.0.1"),
    )


def test_iptables_redirects_to_the_relays_port() -> None:
    assert tuple(relay.iptables_rules([ONE])) == (
        Rule(
            target="REDIRECT",
            target_options=(("to-ports", "61000"),),
            destination="127.0.0.1",
            protocol="udp",
            matches=(Match("udp", (("dport", "8080"),)),),
        ),
    )
