"""After somebody flushed the host's packet rules: CHECK says what is missing, `linkspan reload` brings it back."""

from __future__ import annotations

import pytest

from tests.harness import ours
from tests.harness.privatehost import HOST_V4, HOST_V6, OUTSIDE, OUTSIDE_V4, PrivateHost
from tests.harness.talk import ask, serve
from tests.harness.world import Box, PluginFailed, World, published, world_of

pytestmark = pytest.mark.root

FLUSHES = (
    ("nftables", "nft flush ruleset", "inet linkspan"),
    ("nftables", "nft delete rule inet linkspan prerouting handle $(nft -a list chain inet linkspan prerouting"
     " | sed -n 's/.*jump published # handle //p')", "prerouting"),
    ("nftables", "nft flush map inet linkspan ports4", "ports4"),
    ("iptables", "nft flush ruleset", "CNI-"),
    ("iptables", "iptables -F; iptables -t nat -F; iptables -t mangle -F", "CNI-"),
    ("iptables", "iptables -t nat -F; ip6tables -t nat -F", "CNI-"),
    ("iptables", "iptables -t nat -D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
     "CNI-HOSTPORT-DNAT"),
)  # fmt: skip


def every_rule(world: World) -> list[str]:
    """The rules of the whole host in no order, without counters."""
    lines = world.rules("nft", "--stateless", "list", "ruleset").splitlines()
    return sorted(line.strip().rstrip(",") for line in lines if line.strip())


def check(world: World, box: Box) -> None:
    """CHECK of the whole chain."""
    world.call("bridge", "CHECK", box, {**world.bridge_config(box.network), "prevResult": box.result})
    world.check(box)


@pytest.mark.parametrize(("backend", "flush", "named"), FLUSHES)
def test_check_names_what_a_flush_took_and_reload_brings_all_of_it_back_once(
    host: PrivateHost, backend: str, flush: str, named: str
) -> None:
    with world_of(host, backend=backend) as world, serve(host, OUTSIDE, port=80, name="world"):
        web = world.box("web", ports=[published(8080)], dropDirectAccess=True)
        other = world.box("other", network="net2", ports=[published(8081)])
        before = every_rule(world)
        host.run(["sh", "-c", flush])
        with pytest.raises(PluginFailed) as found:
            check(world, web)
        assert found.value.error["code"] == 103
        assert named in found.value.error["msg"]
        ours.linkspan(host, "reload")
        check(world, web)
        check(world, other)
        assert every_rule(world) == before
        with world.serving(web), world.serving(other):
            assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"
            assert world.asks(OUTSIDE, HOST_V6, 8081) == "other"
            assert world.asks(None, "127.0.0.1", 8080) == "web"
            assert ask(host, OUTSIDE_V4, 80, netns=web.netns) == f"world {HOST_V4}"


def test_reload_with_nothing_amiss_changes_nothing(backend_world: World) -> None:
    world = backend_world
    world.box("web", ports=[published(8080)], dropDirectAccess=True)
    before = every_rule(world)
    ours.linkspan(world.host, "reload")
    assert every_rule(world) == before


@pytest.mark.parametrize("policy", ["open", "same-bridge", "isolated"])
def test_reload_rebuilds_the_whole_chain_with_firewall_in_it(backend_world: World, policy: str) -> None:
    world = backend_world
    for name, port in (("one", 8080), ("two", 8081)):
        box = world.box(name, ports=[published(port)])
        firewall = {"type": "firewall", "backend": world.backend, "ingressPolicy": policy}
        config = {"cniVersion": "1.1.0", "name": "net1", **firewall, "prevResult": box.result}
        world.call("firewall", "ADD", box, config)
    before = every_rule(world)
    world.host.run(["nft", "flush", "ruleset"])
    ours.linkspan(world.host, "reload")
    assert every_rule(world) == before


def test_reload_lets_the_dead_rest(backend_world: World) -> None:
    world = backend_world
    dead = world.box("dead", ports=[published(8080)])
    world.host.run(["ip", "link", "delete", dead.result["interfaces"][1]["name"]])
    world.host.run(["nft", "flush", "ruleset"])
    ours.linkspan(world.host, "reload")
    assert dead.v4 not in "".join(every_rule(world))


def test_reload_shuts_an_internal_network_again(backend_world: World) -> None:
    world = backend_world
    internal = {"internal": True, "isDefaultGateway": False, "isGateway": True, "ipMasq": False}
    inside = world.box("inside", bridge=internal)
    for netns in (inside.netns, None):
        world.host.run(["sysctl", "-qw", "net.ipv4.conf.all.forwarding=1"], netns=netns)
    world.host.run(["ip", "route", "add", "default", "via", "10.1.0.1"], netns=inside.netns)
    world.host.outside(["ip", "route", "add", "10.1.0.0/24", "via", HOST_V4])
    world.host.run(["nft", "flush", "ruleset"])
    with serve(world.host, OUTSIDE, port=80, name="world"):
        assert world.asks(inside.netns, OUTSIDE_V4, 80) == "world"
        ours.linkspan(world.host, "reload")
        assert world.asks(inside.netns, OUTSIDE_V4, 80) == ""


def test_the_next_add_repairs_what_is_shared(backend_world: World) -> None:
    world = backend_world
    web = world.box("web", ports=[published(8080)])
    if world.backend == "nftables":
        for chain in ("prerouting", "output", "postrouting", "published"):
            world.host.run(["nft", "flush", "chain", "inet", "linkspan", chain])
    else:
        for chain in ("PREROUTING", "OUTPUT", "CNI-HOSTPORT-MASQ", "CNI-HOSTPORT-SETMARK"):
            world.host.run(["iptables", "-t", "nat", "-F", chain])
            world.host.run(["ip6tables", "-t", "nat", "-F", chain])
    world.box("next", ports=[published(8081)])
    with world.serving(web):
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"
        assert world.asks(web.netns, HOST_V4, 8080) == "web"
    world.check(web)


def test_forwarding_is_permitted_again_where_iptables_drops(backend_world: World) -> None:
    world = backend_world
    world.host.run(["iptables", "-P", "FORWARD", "DROP"])
    web = world.box("web", ports=[published(8080)])
    world.host.run(["iptables", "-F"])
    with world.serving(web):
        assert world.asks(OUTSIDE, HOST_V4, 8080) == ""
        ours.linkspan(world.host, "reload")
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"


def test_del_after_a_flush_leaves_nothing(backend_world: World) -> None:
    world = backend_world
    web = world.box("web", ports=[published(8080)], dropDirectAccess=True)
    world.host.run(["nft", "flush", "ruleset"])
    world.remove(web)
    assert web.v4 not in "".join(every_rule(world))


#: What a network manager, or an administrator, does to links; what CHECK and `linkspan reload` say. $PORT is web's host end.
DAMAGES = (
    ("ip link delete br-net1", "the bridge br-net1 is missing"),
    ("ip link set br-net1 down", "the bridge br-net1 is down"),
    ("ip address delete 10.1.0.1/24 dev br-net1", "br-net1 is missing the gateway address 10.1.0.1"),
    ("ip link set $PORT nomaster", "is not a port of br-net1"),
    ("ip link set $PORT down", "is down"),
)


@pytest.mark.parametrize(("damage", "named"), DAMAGES)
def test_reload_restores_links_as_check_advises(backend_world: World, damage: str, named: str) -> None:
    world = backend_world
    web, near = world.box("web", ports=[published(8080)]), world.box("near")
    host = world.host
    host.run(["sh", "-c", damage], env={"PORT": web.result["interfaces"][1]["name"], "PATH": ours.PATH})
    with pytest.raises(PluginFailed) as found:
        check(world, web)
    assert named in found.value.error["msg"]
    assert "`linkspan reload` restores it" in found.value.error["details"]
    said = ours.linkspan(host, "reload")
    assert named in said
    assert "not restored" not in said
    check(world, web)
    world.call("bridge", "CHECK", near, {**world.bridge_config("net1"), "prevResult": near.result})
    with world.serving(web), serve(host, OUTSIDE, port=80, name="world"):
        assert world.asks(near.netns, web.v4, 80) == "web"
        assert world.asks(None, web.v6, 80) == "web"
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"
        assert world.asks(None, "127.0.0.1", 8080) == "web"
        assert world.asks(web.netns, OUTSIDE_V4, 80) == "world"
    assert ours.linkspan(host, "reload") == "nothing was missing\n"


def test_reload_lets_the_host_route_again(backend_world: World) -> None:
    world = backend_world
    web = world.box("web")
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        world.host.run(["sysctl", "-qw", f"{key}=0"])
    said = ours.linkspan(world.host, "reload")
    assert "the host does not route IPv4: net.ipv4.ip_forward is 0" in said
    assert "the host does not route IPv6: net.ipv6.conf.all.forwarding is 0" in said
    with serve(world.host, OUTSIDE, port=80, name="world"):
        assert world.asks(web.netns, OUTSIDE_V4, 80) == "world"


def test_reload_that_cannot_restore_says_why_and_fails(backend_world: World) -> None:
    world = backend_world
    world.box("web")
    world.host.run(["sh", "-c", "ip link delete br-net1; ip link add br-net1 type veth peer name other"])
    done = world.host.run([*ours.COMMAND, "reload"], check=False)
    assert done.returncode == 1
    assert "not restored: $.bridge: br-net1 already exists but is not a bridge" in done.stdout
    assert "remove that link" not in done.stdout


def test_reload_of_one_network_leaves_the_others(backend_world: World) -> None:
    world = backend_world
    world.box("one")
    world.box("two", network="net2")
    world.host.run(["sh", "-c", "ip link delete br-net1; ip link delete br-net2"])
    said = ours.linkspan(world.host, "reload", "--network", "net2")
    assert ("br-net1" in said, "br-net2" in said) == (False, True)
    assert {"br-net1", "br-net2"} & set(world.host.links()) == {"br-net2"}


def test_check_does_not_advise_a_reload_for_what_is_gone_in_the_container(backend_world: World) -> None:
    world = backend_world
    web = world.box("web")
    world.host.run(["ip", "address", "flush", "dev", "eth0"], netns=web.netns)
    with pytest.raises(PluginFailed) as found:
        check(world, web)
    assert "reload" not in found.value.error["details"]
