"""Closing an internal network's bridge and opening it again, in both back ends on a host in memory."""

from __future__ import annotations

import pytest

from linkspan.host.memory import MemoryHost
from linkspan.netfilter import isolation
from linkspan.paths import OWN_NETNS


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


def test_a_closed_bridge_lacks_nothing_and_routes_nothing(host: MemoryHost) -> None:
    isolation.close(host, "br0")
    assert (isolation.missing(host, "br0"), forwarding(host, "br0")) == ([], ["0", "0"])


def test_another_bridge_is_not_touched(host: MemoryHost) -> None:
    isolation.close(host, "br0")
    assert forwarding(host, "br1") == ["1", "1"]
    assert isolation.missing(host, "br1") != []


def test_closing_twice_is_closing_once(host: MemoryHost) -> None:
    isolation.close(host, "br0")
    once = host.state()
    isolation.close(host, "br0")
    assert {line for line in host.state() ^ once if not line.startswith("file ")} == set()


def test_a_flush_is_found_and_closing_again_mends_it(host: MemoryHost) -> None:
    isolation.close(host, "br0")
    host.nftables.table = None
    host.iptables.tables.clear()
    assert isolation.missing(host, "br0") != []
    isolation.close(host, "br0")
    assert isolation.missing(host, "br0") == []


def test_a_bridge_that_is_opened_forwards_as_the_host_does(host: MemoryHost) -> None:
    isolation.close(host, "br0")
    isolation.open_up(host, "br0")
    assert forwarding(host, "br0") == ["1", "1"]
    assert not any("internal" in line and "br0" in line for line in host.state())
    assert not any("DROP" in line and "br0" in line for line in host.state())


def test_opening_one_leaves_the_other_closed(host: MemoryHost) -> None:
    for bridge in ("br0", "br1"):
        isolation.close(host, bridge)
    isolation.open_up(host, "br0")
    assert isolation.missing(host, "br1") == []


def test_opening_what_was_never_closed_is_one_look_and_no_change(host: MemoryHost) -> None:
    before = host.state()
    host.requests.clear()
    isolation.open_up(host, "br0")
    assert (host.requests, host.state()) == ([("files.read", 1)], before)
