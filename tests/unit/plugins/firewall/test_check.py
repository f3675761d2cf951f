"""What CHECK of firewall finds wrong."""

from __future__ import annotations

import pytest

from linkspan.call.reload import reload
from tests.harness.firewall import box, call, own, with_firewalld


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_check_names_what_was_flushed_and_reload_brings_it_back_once(backend: str) -> None:
    host = box()
    keys = {"backend": backend, "ingressPolicy": "same-bridge"}
    call(host, "ADD", **keys)
    whole = host.state()
    host.iptables.tables.clear()
    host.nftables.table = None
    flushed = host.state()
    assert call(host, "CHECK", **keys)["code"] == 103
    assert host.state() == flushed
    reload(host)
    reload(host)
    assert call(host, "CHECK", **keys) == {}
    assert {line for line in host.state() ^ whole if "record" not in line} == set()


def test_check_believes_firewalld_s_answer() -> None:
    """The reference throws it away."""
    host = box()
    with_firewalld(host)
    call(host, "ADD")
    assert call(host, "CHECK") == {}
    with_firewalld(host)
    assert call(host, "CHECK")["msg"] == "10.1.0.2/32 is not in the zone trusted of firewalld"


def test_check_and_reload_notice_a_firewalld_that_was_started_later() -> None:
    host = box()
    call(host, "ADD")
    calls = with_firewalld(host)
    assert call(host, "CHECK")["msg"] == "10.1.0.2/32 is not in the zone trusted of firewalld"
    reload(host)
    assert call(host, "CHECK") == {}
    assert call(host, "DEL", prev=None) == {}
    assert [each[0] for each in calls][-2:] == ["removeSource", "removeSource"]
    assert own(host) == frozenset()


def test_a_backend_that_was_asked_for_stays_when_firewalld_is_started() -> None:
    host = box()
    call(host, "ADD", backend="iptables")
    calls = with_firewalld(host)
    reload(host)
    assert call(host, "CHECK", backend="iptables") == {}
    assert calls == []


def test_check_says_that_the_bridge_is_missing() -> None:
    host = box()
    call(host, "ADD", ingressPolicy="same-bridge")
    host.links().delete("br1")
    answered = call(host, "CHECK", ingressPolicy="same-bridge")
    assert (answered["code"], answered["msg"]) == (103, "the bridge br1 is missing")
