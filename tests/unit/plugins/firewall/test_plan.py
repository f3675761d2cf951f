"""Which steps firewall takes: from configuration and facts alone, without a host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cni_firewall.config import Backend, Config
from cni_firewall.facts import Facts
from cni_firewall.plan import admission_of, plan_for
from linkspan.cni.errors import InvalidConfig
from linkspan.cni.model import Request
from linkspan.cni.result import decode_result
from tests.harness.firewall import OPEN, PREV

REQUEST = Request(
    verb="ADD",
    plugin="firewall",
    cni_version="1.1.0",
    network="n1",
    container_id="c1",
    ifname="eth0",
    config={},
    prev_result=decode_result(PREV, "1.1.0"),
)


def facts(backend: Backend, **keys: Any) -> Facts:
    return Facts(
        **{"earlier": None, "backend": backend, "bridge": "br1", "port": "veth1", "fence": "", **keys}
    )


def steps(config: Config, known: Facts) -> list[str]:
    """The names of the steps in their order."""
    return [type(step).__name__ for step in plan_for(REQUEST, config, known)]


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("iptables", ["Admit", "ApplyIptables", "ApplyIptables"]),
        ("nftables", ["Admit", "AcceptForwarding"]),
        ("firewalld", ["Admit", "AcceptForwarding", "AddToZone"]),
    ],
)
def test_each_backend_has_its_steps(backend: Backend, expected: list[str]) -> None:
    assert steps(Config(), facts(backend)) == expected


def test_isolation_comes_before_anything_is_accepted() -> None:
    isolated = Config(policy="isolated")
    assert steps(isolated, facts("nftables", fence="nftables")) == [
        "Admit",
        "ApplyNftables",
        "IsolatePort",
        "AcceptForwarding",
    ]


def test_what_is_admitted_is_what_facts_and_prev_result_say() -> None:
    admission = admission_of(REQUEST, Config(), facts("iptables"))
    assert admission == replace(OPEN, chosen=True)


def test_a_backend_that_is_configured_is_not_our_choice() -> None:
    assert admission_of(REQUEST, Config(backend="iptables"), facts("iptables")) == OPEN


def test_a_policy_without_a_bridge_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="needs a bridge"):
        plan_for(REQUEST, Config(policy="same-bridge"), facts("iptables", bridge=""))
