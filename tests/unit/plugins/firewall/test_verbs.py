"""The verbs of firewall on a host in memory."""

from __future__ import annotations

import pytest

from linkspan.call.reload import reload
from linkspan.host.memory import MemoryHost
from tests.harness.firewall import NETNS, PREV, box, call, own, rules


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
@pytest.mark.parametrize("policy", ["open", "same-bridge", "isolated"])
def test_add_check_delete_without_prev_result(backend: str, policy: str) -> None:
    """Case 142."""
    host = box()
    keys = {"backend": backend, "ingressPolicy": policy}
    assert call(host, "ADD", **keys)["ips"] == PREV["ips"]
    assert call(host, "CHECK", **keys) == {}
    assert call(host, "DEL", prev=None) == {}
    assert own(host) == frozenset()


def test_policy_without_any_bridge_is_refused_and_leaves_nothing() -> None:
    host = MemoryHost()
    host.add_netns(NETNS)
    before = host.state()
    answered = call(host, "ADD", ingressPolicy="same-bridge")
    assert answered["code"] == 7
    assert host.state() == before


@pytest.mark.parametrize(("sysctl", "isolated"), [(None, True), ("0", True), ("1", False)])
def test_isolated_port_where_no_rule_sees_what_is_bridged(sysctl: str | None, isolated: bool) -> None:
    host = box()
    if sysctl is None:
        host.links().sysctls.pop("bridge/bridge-nf-call-iptables", None)
    else:
        host.links().sysctls["bridge/bridge-nf-call-iptables"] = sysctl
    call(host, "ADD", ingressPolicy="isolated")
    found = host.links().get("veth1")
    assert found is not None
    assert found.isolated == isolated


def test_only_the_families_in_use_need_their_tool() -> None:
    """Case 148."""
    host = box()
    host.iptables.families = (4,)
    only4 = {**PREV, "ips": PREV["ips"][:1]}
    assert "code" not in call(host, "ADD", prev=only4)
    assert call(host, "CHECK", prev=only4) == {}
    assert call(host, "DEL", prev=None) == {}


def test_reload_leaves_out_whose_link_is_gone() -> None:
    host = box()
    call(host, "ADD")
    host.iptables.tables.clear()
    host.links().delete("veth1")
    reload(host)
    assert rules(host) == {}


def test_status_is_50_without_any_back_end() -> None:
    host = box()
    host.iptables.families = ()
    host.nftables.available = False
    assert call(host, "STATUS")["code"] == 50


def test_status_is_50_where_firewalld_is_asked_for_and_does_not_run() -> None:
    assert call(box(), "STATUS", backend="firewalld")["code"] == 50


def test_policy_of_drop_is_answered_in_iptables_whatever_the_back_end() -> None:
    host = box()
    host.iptables.policies[4, "filter", "FORWARD"] = "DROP"
    call(host, "ADD", backend="nftables")
    assert "-i br1 -j LINKSPAN-ONWARD" in host.iptables.tables[4, "filter"]["LINKSPAN-FORWARD"]
