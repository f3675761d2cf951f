"""What firewall knows before planning, and what a record keeps of it."""

from __future__ import annotations

from typing import Any

import pytest

from cni_firewall.config import Config
from cni_firewall.facts import Admission, Facts, read_facts
from linkspan.cni.model import Request
from linkspan.cni.result import decode_result
from linkspan.host.memory import MemoryHost
from tests.harness.firewall import NETNS, OPEN, PREV, box, call, fenced, rules, with_firewalld


@pytest.mark.parametrize("admission", [OPEN, fenced("isolated")])
def test_record_is_read_as_it_was_written(admission: Admission) -> None:
    assert Admission.from_record(admission.to_record()) == admission


@pytest.mark.parametrize("record", [{}, {"addresses": 1}, {**OPEN.to_record(), "addresses": None}])
def test_foreign_record_is_none(record: dict[str, Any]) -> None:
    assert Admission.from_record(record) is None


def test_unset_backend_is_firewalld_where_it_runs() -> None:
    host = box()
    calls = with_firewalld(host)
    call(host, "ADD")
    assert [each for each in calls if each[0] == "addSource"] == [
        ("addSource", "trusted", "10.1.0.2/32"),
        ("addSource", "trusted", "fd00:1::2/128"),
    ]
    assert rules(host) == {}


def test_unset_backend_is_nftables_without_firewalld_and_iptables() -> None:
    host = box()
    host.iptables.families = ()
    call(host, "ADD", ingressPolicy="same-bridge")
    assert [each.key for each in host.nftables.elements("fenced")] == [("br1",)]


def test_policy_is_about_the_real_bridge_wherever_it_stands_in_prev_result() -> None:
    """Case 147."""
    host = box()
    call(host, "ADD", ingressPolicy="same-bridge")
    assert "-i br1 ! -o br1" in host.iptables.tables[4, "filter"]["CNI-ISOLATION-STAGE-1"][1]


def test_policy_finds_the_bridge_by_its_port() -> None:
    host = box()
    prev = {**PREV, "interfaces": [{"name": "veth1"}, {"name": "gone"}, {"name": "eth0", "sandbox": NETNS}]}
    call(host, "ADD", prev=prev, ingressPolicy="isolated")
    assert "-i br1 -o br1" in host.iptables.tables[4, "filter"]["CNI-ISOLATION-STAGE-1"][1]


def facts_of(host: MemoryHost, prev: Any = PREV, **keys: Any) -> Facts:
    """What an ADD would read."""
    request = Request(
        verb="ADD",
        plugin="firewall",
        cni_version="1.1.0",
        network="n1",
        container_id="c1",
        ifname="eth0",
        config=keys,
        prev_result=decode_result(prev, "1.1.0"),
    )
    return read_facts(request, Config.from_request(request), host)


def test_bridge_and_port_are_told_apart_whichever_comes_first() -> None:
    facts = facts_of(box())
    assert (facts.bridge, facts.port, facts.fence) == ("br1", "veth1", "")


def test_bridges_are_isolated_by_the_backend_of_packets_where_firewalld_runs() -> None:
    host = box()
    with_firewalld(host)
    facts = facts_of(host, ingressPolicy="same-bridge")
    assert (facts.backend, facts.fence) == ("firewalld", "iptables")


def test_what_an_earlier_add_admitted_is_known() -> None:
    host = box()
    call(host, "ADD")
    earlier = facts_of(host).earlier
    assert earlier is not None
    assert earlier.addresses == ("10.1.0.2", "fd00:1::2")


def test_a_record_of_an_earlier_build_is_read() -> None:
    """Unknown fields are ignored, and absent ones have their defaults."""
    record = {"network": "n1", "backend": "iptables", "addresses": ["10.5.0.2"], "bridge": "br0", "since": 1}
    assert Admission.from_record(record) == Admission(
        backend="iptables", addresses=("10.5.0.2",), bridge="br0"
    )
