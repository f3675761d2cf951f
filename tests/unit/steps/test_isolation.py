"""Isolating an internal network's bridge and letting it forward again, in both backends on a host in memory."""

from __future__ import annotations

import pytest

from linkspan.host.memory import MemoryHost
from linkspan.paths import OWN_NETNS
from linkspan.steps.isolation import AllowForwarding, Isolate


@pytest.fixture(params=["nftables", "iptables"])
def host(request: pytest.FixtureRequest) -> MemoryHost:
    """A host that forwards, with two bridges; without libnftables for iptables' part."""
    made = MemoryHost()
    made.nftables.available = request.param == "nftables"
    links = made.namespace(OWN_NETNS)
    for name in ("br0", "br1"):
        links.create_bridge(name)
    links.set_sysctl("ipv4/ip_forward", "1")
    links.set_sysctl("ipv6/conf/all/forwarding", "1")
    return made


def forwarding(host: MemoryHost, bridge: str) -> list[str | None]:
    return [host.namespace(OWN_NETNS).sysctl(f"{each}/conf/{bridge}/forwarding") for each in ("ipv4", "ipv6")]


def test_an_isolated_bridge_has_all_rules_and_routes_nothing(host: MemoryHost) -> None:
    Isolate("br0").do(host)
    assert (Isolate("br0").missing(host), forwarding(host, "br0")) == ([], ["0", "0"])


def test_another_bridge_is_not_touched(host: MemoryHost) -> None:
    Isolate("br0").do(host)
    assert forwarding(host, "br1") == ["1", "1"]
    assert Isolate("br1").missing(host) != []


def test_isolating_twice_changes_nothing(host: MemoryHost) -> None:
    Isolate("br0").do(host)
    once = host.state()
    Isolate("br0").do(host)
    assert {line for line in host.state() ^ once if not line.startswith("file ")} == set()


def test_a_flush_is_found_and_isolating_again_repairs_it(host: MemoryHost) -> None:
    Isolate("br0").do(host)
    host.nftables.table = None
    host.iptables.tables.clear()
    assert Isolate("br0").missing(host) != []
    Isolate("br0").do(host)
    assert Isolate("br0").missing(host) == []


def test_a_bridge_that_may_forward_again_does_as_the_host_does(host: MemoryHost) -> None:
    Isolate("br0").do(host)
    AllowForwarding("br0").do(host)
    assert forwarding(host, "br0") == ["1", "1"]
    assert not any("internal" in line and "br0" in line for line in host.state())
    assert not any("DROP" in line and "br0" in line for line in host.state())


def test_allowing_one_leaves_the_other_isolated(host: MemoryHost) -> None:
    for bridge in ("br0", "br1"):
        Isolate(bridge).do(host)
    AllowForwarding("br0").do(host)
    assert Isolate("br1").missing(host) == []


def test_allowing_what_was_never_isolated_is_one_request_and_no_change(host: MemoryHost) -> None:
    before = host.state()
    host.requests.clear()
    AllowForwarding("br0").do(host)
    assert (host.requests, host.state()) == ([("files.read", 1)], before)
