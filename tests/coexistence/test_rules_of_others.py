"""Ours beside ufw's, kube-proxy's and an administrator's packet rules: everybody's containers and services keep working."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.coexistence import rules
from tests.coexistence.guests import Guests, settle, taken
from tests.harness import ours
from tests.harness.privatehost import HOST_V4, OUTSIDE, PrivateHost
from tests.harness.talk import ask, serve

pytestmark = pytest.mark.root

NEIGHBOURS = (rules.enable_ufw, rules.sync_kube_proxy)


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
def test_everything_works_beside_them_and_nothing_is_left_or_touched(
    host: PrivateHost, backend: str, neighbour: Callable[[PrivateHost], None]
) -> None:
    neighbour(host)
    theirs = host.snapshot()
    settle(host, backend)
    before = host.snapshot(ignore=ours.STAYS)
    with Guests(host, backend) as guests:
        assert guests.lacking() == []
        assert guests.complaints() == []
    after = host.snapshot(ignore=ours.STAYS)
    assert after.diff(before) == []
    assert taken(after, theirs) == []


def test_a_list_without_firewall_works_beside_ufw_too(host: PrivateHost, backend: str) -> None:
    rules.enable_ufw(host)
    with Guests(host, backend, firewall=False) as guests:
        assert guests.lacking() == []


def test_ufw_enabled_last_is_told_by_check_and_reload_opens_what_it_closed(
    host: PrivateHost, backend: str
) -> None:
    with Guests(host, backend, firewall=False) as guests:
        rules.enable_ufw(host)
        closed = " ".join(guests.complaints())
        assert "portmap: the iptables chain LINKSPAN-FORWARD is missing" in closed
        assert "dns: the iptables chain LINKSPAN-INPUT is missing" in closed
        ours.linkspan(host, "reload")
        assert guests.complaints() == []
        assert guests.lacking() == []


def test_what_ufw_closes_stays_closed(host: PrivateHost) -> None:
    """What we let in and forward is no way in for others."""
    rules.enable_ufw(host)
    with Guests(host, "nftables"), serve(host, None, port=8000), serve(host, "peer", port=81):
        host.outside(["ip", "route", "add", "10.89.0.0/24", "via", HOST_V4])
        assert ask(host, HOST_V4, 8000, netns=OUTSIDE, wait=0.5) is None
        assert ask(host, HOST_V4, 8000, netns="web", wait=0.5) is None
        assert ask(host, "10.89.0.3", 81, netns=OUTSIDE, wait=0.5) is None


def test_kube_proxy_started_last_and_syncing_again_takes_nothing_away(
    host: PrivateHost, backend: str
) -> None:
    with Guests(host, backend) as guests:
        for _ in range(2):
            rules.sync_kube_proxy(host)
            assert guests.lacking() == []
        assert guests.complaints() == []


def test_a_service_of_kube_proxy_is_reached_from_our_containers_and_from_outside(
    host: PrivateHost, backend: str
) -> None:
    rules.sync_kube_proxy(host)
    with Guests(host, backend):
        assert ask(host, rules.SERVICE, 80, netns="web") == f"world {HOST_V4}"
        assert ask(host, HOST_V4, rules.NODE_PORT, netns=OUTSIDE) == f"world {HOST_V4}"


FLUSHES = (
    (
        "nftables",
        "iptables -F FORWARD",
        "portmap: the iptables chain FORWARD has no rule: -j LINKSPAN-FORWARD",
    ),
    ("iptables", "iptables -F FORWARD", "firewall: the iptables chain FORWARD has no rule: "),
    ("iptables", "iptables -t nat -F", "portmap: the rules of the iptables chain "),
)


@pytest.mark.parametrize(("backend", "flush", "said"), FLUSHES)
def test_a_flush_in_between_is_told_by_check_and_reload_brings_all_back(
    host: PrivateHost, backend: str, flush: str, said: str
) -> None:
    host.run(["iptables", "-P", "FORWARD", "DROP"])
    rules.sync_kube_proxy(host)
    with Guests(host, backend) as guests:
        host.run(flush.split())
        assert any(each.startswith(said) for each in guests.complaints())
        ours.linkspan(host, "reload")
        assert guests.complaints() == []
        assert guests.lacking() == []
