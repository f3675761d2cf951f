"""What publishing a port must not do to a host: real packets, both back ends, br_netfilter on and off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.harness.privatehost import HOST_V4, HOST_V6, OUTSIDE, OUTSIDE_V4
from tests.harness.talk import serve
from tests.harness.world import Box, World, published

pytestmark = pytest.mark.root


def know_the_way(world: World, number: int = 1) -> None:
    """The outside has routes to the containers' addresses by way of the host."""
    world.host.outside(["ip", "route", "add", f"10.{number}.0.0/24", "via", HOST_V4])
    world.host.outside(["ip", "route", "add", f"fd00:{number}::/64", "via", HOST_V6])


@contextmanager
def sniffed(world: World, netns: str | None, condition: str, hook: str = "prerouting") -> Iterator[list[int]]:
    """Counts the packets of that condition which come by a hook of a namespace; the list holds the count in the end."""
    for command in (
        "add table inet sniff",
        f"add chain inet sniff in {{ type filter hook {hook} priority -400; }}",
        f"add rule inet sniff in {condition} counter",
    ):
        world.host.run(["nft", command], netns=netns)
    seen: list[int] = []
    yield seen
    seen.append(count(world, netns))


def count(world: World, netns: str | None) -> int:
    """What `sniffed` counted so far."""
    shown = world.host.run(["nft", "list chain inet sniff in"], netns=netns).stdout
    return int(shown.partition("counter packets ")[2].split()[0])


# --- loopback ------------------------------------------------------------------------------------------------------


def test_published_on_127_0_0_1_is_not_reachable_from_the_lan(world: World) -> None:
    web = world.box("web", ports=[published(8080, host_ip="127.0.0.1")])
    # Even on a host that routes 127.0.0.0/8 everywhere, and by a neighbour who addresses 127.0.0.1 at the host's MAC.
    world.host.run(["sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1"])
    world.host.outside(["sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1"])
    world.host.outside(["ip", "route", "del", "local", "127.0.0.0/8", "dev", "lo", "table", "local"])
    world.host.outside(["ip", "route", "del", "local", "127.0.0.1", "dev", "lo", "table", "local"])
    world.host.outside(["ip", "route", "add", "127.0.0.0/8", "via", HOST_V4, "src", OUTSIDE_V4])
    with world.serving(web), sniffed(world, web.netns, "tcp dport 80") as seen:
        assert world.asks(None, "127.0.0.1", 8080) == "web"
        arrived = count(world, web.netns)
        assert world.asks(OUTSIDE, HOST_V4, 8080) == ""
        assert world.asks(OUTSIDE, "127.0.0.1", 8080) == ""
    assert seen == [arrived]


def test_route_localnet_opens_nothing_of_the_hosts_loopback_to_containers(world: World) -> None:
    web = world.box("web", ports=[published(8080)])
    # A container with NET_RAW and NET_ADMIN sends what it likes: here 127.0.0.1 is on the other side of its gateway.
    for local in ("127.0.0.0/8", "127.0.0.1"):
        world.host.run(["ip", "route", "del", "local", local, "dev", "lo", "table", "local"], netns=web.netns)
    world.host.run(["sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1"], netns=web.netns)
    world.host.run(["ip", "route", "add", "127.0.0.0/8", "via", "10.1.0.1", "src", web.v4], netns=web.netns)
    attempt = "iifname br-net1 tcp dport 5432"
    with (
        serve(world.host, None, port=5432, address="127.0.0.1"),
        sniffed(world, None, attempt, "input") as seen,
    ):
        assert world.asks(None, "127.0.0.1", 5432) == "host"
        assert world.asks(web.netns, "127.0.0.1", 5432) == ""
    assert seen == [0]


def test_a_port_on_localhost_reaches_the_container_and_shows_no_martian_address(world: World) -> None:
    web = world.box("web", ports=[published(8080)])
    with world.serving(web), sniffed(world, web.netns, "ip saddr 127.0.0.0/8") as seen:
        assert world.asks(None, "127.0.0.1", 8080) == "web"
    assert seen == [0]


# --- what is not for this host -------------------------------------------------------------------------------------


def test_a_published_port_never_catches_traffic_that_is_only_forwarded(world: World) -> None:
    """CVE-2025-67499: what a container, or a neighbour, sends to another machine's port stays with that machine."""
    web = world.box("web", ports=[published(8080)])
    other = world.box("other", network="net2")
    know_the_way(world, 2)
    with world.serving(web), world.serving(other, 8080), serve(world.host, OUTSIDE, port=8080, name="world"):
        assert world.asks(other.netns, OUTSIDE_V4, 8080) == "world"
        assert world.asks(web.netns, OUTSIDE_V4, 8080) == "world"
        assert world.asks(OUTSIDE, other.v4, 8080) == "other"
        assert world.asks(OUTSIDE, other.v6, 8080) == "other"


def test_a_port_on_one_address_is_closed_on_the_others(world: World) -> None:
    world.host.run(["ip", "address", "add", "198.51.100.11/24", "dev", "eth0"])
    web = world.box("web", ports=[published(8080, host_ip="198.51.100.11")])
    with world.serving(web):
        assert world.asks(OUTSIDE, "198.51.100.11", 8080) == "web"
        assert world.asks(OUTSIDE, HOST_V4, 8080) == ""


def test_a_port_of_one_family_is_closed_in_the_other(world: World) -> None:
    web = world.box("web", ports=[published(8080, host_ip="0.0.0.0"), published(8081, host_ip="::")])
    with world.serving(web):
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"
        assert world.asks(OUTSIDE, HOST_V6, 8080) == ""
        assert world.asks(OUTSIDE, HOST_V6, 8081) == "web"
        assert world.asks(OUTSIDE, HOST_V4, 8081) == ""


def test_ipv6_loopback_refuses_at_once_instead_of_hanging(world: World) -> None:
    web = world.box("web", ports=[published(8080)])
    with world.serving(web), serve(world.host, None, port=8080, address="::1"):
        assert world.asks(None, "::1", 8080) == "host"


# --- a host that forwards nothing by itself ------------------------------------------------------------------------


def _dropping(world: World) -> None:
    """As Docker and ufw leave a host."""
    for tool in ("iptables", "ip6tables"):
        world.host.run([tool, "-P", "FORWARD", "DROP"])


def test_published_ports_work_where_iptables_drops_what_is_forwarded(world: World) -> None:
    _dropping(world)
    web, other = world.box("web", ports=[published(8080)]), world.box("other", network="net2")
    with world.serving(web):
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"
        assert world.asks(OUTSIDE, HOST_V6, 8080) == "web"
        assert world.asks(other.netns, HOST_V4, 8080) == "web"
        assert world.asks(web.netns, HOST_V4, 8080) == "web"


def test_containers_get_out_where_iptables_drops_what_is_forwarded(world: World) -> None:
    _dropping(world)
    web = world.box("web")
    with serve(world.host, OUTSIDE, port=80, name="world"):
        assert world.asks(web.netns, OUTSIDE_V4, 80) == "world"


def test_neighbours_talk_where_iptables_drops_what_is_forwarded(world: World) -> None:
    _dropping(world)
    web, other = world.box("web", ports=[published(8080)]), world.box("other")
    with world.serving(web):
        assert world.asks(other.netns, web.v4, 80) == "web"
        assert world.asks(other.netns, web.v6, 80) == "web"


def test_neighbours_on_an_internal_network_talk_where_iptables_drops_what_is_forwarded(world: World) -> None:
    _dropping(world)
    internal = {"internal": True, "isDefaultGateway": False, "isGateway": True, "ipMasq": False}
    one, two = (world.box(name, bridge=internal) for name in ("one", "two"))
    with world.serving(one):
        assert world.asks(two.netns, one.v4, 80) == "one"
        assert world.asks(two.netns, one.v6, 80) == "one"


def test_an_internal_network_stays_shut_where_iptables_drops_what_is_forwarded(world: World) -> None:
    _dropping(world)
    internal = {"internal": True, "isDefaultGateway": False, "isGateway": True, "ipMasq": False}
    inside = world.box("inside", bridge=internal)
    know_the_way(world)
    world.host.run(["ip", "route", "add", "default", "via", "10.1.0.1"], netns=inside.netns)
    world.host.run(["sysctl", "-qw", "net.ipv4.conf.all.forwarding=1"])
    with serve(world.host, OUTSIDE, port=80, name="world"):
        assert world.asks(inside.netns, OUTSIDE_V4, 80) == ""


def test_neighbours_on_a_bridge_without_addresses_talk_where_iptables_drops(world: World) -> None:
    _dropping(world)
    layer2 = {"isDefaultGateway": False, "ipMasq": False, "ipam": {}}
    one, two = (world.box(name, bridge=layer2) for name in ("one", "two"))
    for number, box in enumerate((one, two), 1):
        world.host.run(["ip", "address", "add", f"192.168.7.{number}/24", "dev", "eth0"], netns=box.netns)
    with world.serving(one):
        assert world.asks(two.netns, "192.168.7.1", 80) == "one"


def test_the_policy_still_stops_what_nobody_published(world: World) -> None:
    _dropping(world)
    web = world.box("web", ports=[published(8080)])
    know_the_way(world)
    with world.serving(web, 81):
        assert world.asks(OUTSIDE, web.v4, 81) == ""


def test_a_rule_that_an_administrator_put_into_forward_is_obeyed(world: World) -> None:
    _dropping(world)
    world.host.run(["iptables", "-A", "FORWARD", "-s", OUTSIDE_V4, "-j", "DROP"])
    web = world.box("web", ports=[published(8080)])
    with world.serving(web):
        assert world.asks(OUTSIDE, HOST_V4, 8080) == ""


def test_a_filter_table_that_iptables_cannot_read_is_a_warning_and_stays_as_it_is(world: World) -> None:
    for command in (
        "add table ip filter",
        "add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }",
        "add rule ip filter FORWARD fib daddr type local drop",
    ):
        world.host.run(["nft", command])
    before = world.rules("nft", "list", "table", "ip", "filter")
    web = world.box("web", ports=[published(8080)])
    assert any("br-net1" in each for each in world.warnings)
    assert world.rules("nft", "list", "table", "ip", "filter") == before
    world.check(web)


# --- direct access -------------------------------------------------------------------------------------------------


@pytest.fixture
def shielded(world: World) -> Box:
    """A container with dropDirectAccess, which the outside knows a way to."""
    know_the_way(world)
    ports = [published(8080), published(8082, 82, host_ip="127.0.0.1")]
    return world.box("web", ports=ports, dropDirectAccess=True)


def test_drop_direct_access_closes_the_containers_addresses_to_the_lan(world: World, shielded: Box) -> None:
    with world.serving(shielded, 81), world.serving(shielded, 82):
        for address in (shielded.v4, shielded.v6):
            assert world.asks(OUTSIDE, address, 81) == ""
            assert world.asks(OUTSIDE, address, 82) == ""


def test_drop_direct_access_leaves_published_ports_open(world: World, shielded: Box) -> None:
    with world.serving(shielded):
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"
        assert world.asks(OUTSIDE, HOST_V6, 8080) == "web"
        assert world.asks(None, shielded.v4, 80) == "web"


def test_drop_direct_access_lets_neighbours_and_other_networks_of_the_host_in(
    world: World, shielded: Box
) -> None:
    near = world.box("near", dropDirectAccess=True)
    far = world.box("far", network="net2", dropDirectAccess=True)
    with world.serving(shielded):
        for address in (shielded.v4, shielded.v6):
            assert world.asks(near.netns, address, 80) == "web"
            assert world.asks(far.netns, address, 80) == "web"


def test_drop_direct_access_lets_answers_in_where_nothing_is_masqueraded(world: World) -> None:
    know_the_way(world)
    web = world.box("web", bridge={"ipMasq": False}, dropDirectAccess=True)
    with (
        serve(world.host, OUTSIDE, port=80, name="world"),
        serve(world.host, OUTSIDE, port=53, kind="udp", name="w"),
    ):
        assert world.asks(web.netns, OUTSIDE_V4, 80) == "world"
        assert world.asks(web.netns, OUTSIDE_V4, 53, kind="udp") == "w"


def test_drop_direct_access_holds_for_a_container_that_publishes_nothing(world: World) -> None:
    know_the_way(world)
    web = world.box("web", dropDirectAccess=True)
    with world.serving(web):
        assert world.asks(OUTSIDE, web.v4, 80) == ""


def test_drop_direct_access_ends_with_the_attachment(world: World, shielded: Box) -> None:
    world.unpublish(shielded)
    with world.serving(shielded):
        assert world.asks(OUTSIDE, shielded.v4, 80) == "web"
        assert world.asks(OUTSIDE, shielded.v6, 80) == "web"


def test_without_drop_direct_access_a_routed_container_is_reachable(world: World) -> None:
    know_the_way(world)
    web = world.box("web", ports=[published(8080)])
    with world.serving(web, 81):
        assert world.asks(OUTSIDE, web.v4, 81) == "web"


# --- names ---------------------------------------------------------------------------------------------------------


def test_a_published_port_53_does_not_catch_what_is_for_a_name_server_of_ours(world: World) -> None:
    from linkspan.host.linux import LinuxHost
    from linkspan.steps import nft_table

    resolver = world.box("resolver", ports=[published(53, 53), published(53, 53, "udp")])
    asker = world.box("asker", network="net2")
    with world.host.entered():
        host = LinuxHost()
        nft_table.exempt_dns(host, ("10.1.0.1", "fd00:1::1"))
        host.close()
    with (
        world.serving(resolver, 53),
        world.serving(resolver, 53, "udp"),
        serve(world.host, None, port=53, kind="udp", address="10.1.0.1", name="gateway"),
    ):
        assert world.asks(resolver.netns, "10.1.0.1", 53, kind="udp") == "gateway"
        assert world.asks(asker.netns, "10.1.0.1", 53, kind="udp") == "gateway"
        assert world.asks(None, "10.1.0.1", 53, kind="udp") == "gateway"
        assert world.asks(OUTSIDE, HOST_V4, 53, kind="udp") == "resolver"
        assert world.asks(OUTSIDE, HOST_V4, 53) == "resolver"
