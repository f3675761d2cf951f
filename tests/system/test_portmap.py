"""Published ports on a real kernel: who reaches them, and that nothing of them stays or is lost."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.harness.privatehost import HOST_V4, HOST_V6, OUTSIDE, OUTSIDE_V4, PrivateHost
from tests.harness.talk import ask, serve
from tests.harness.world import Box, PluginFailed, World, published, world_of

pytestmark = pytest.mark.root

SHOWN = {
    "nftables": (("nft", "list", "table", "inet", "linkspan"),),
    "iptables": (("iptables-save", "-t", "nat"), ("ip6tables-save", "-t", "nat")),
}


def rules(world: World) -> str:
    """All rules of the world's back end, as their tool prints them."""
    return "".join(world.rules(*argv) for argv in SHOWN[world.backend])


def without_counts(world: World) -> list[str]:
    return [line for line in rules(world).splitlines() if not line.startswith(("#", ":"))]


# --- who reaches a published port ----------------------------------------------------------------------------------


@pytest.fixture
def web(world: World) -> Box:
    """A container `web` whose port 80 is the host's 8080, and 53/udp the host's 5353."""
    return world.box("web", ports=[published(8080), published(5353, 53, "udp")])


def test_a_published_port_answers_the_outside(world: World, web: Box) -> None:
    with world.serving(web), world.serving(web, 53, "udp"):
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"
        assert world.asks(OUTSIDE, HOST_V6, 8080) == "web"
        assert world.asks(OUTSIDE, HOST_V4, 5353, kind="udp") == "web"
        assert world.asks(OUTSIDE, HOST_V6, 5353, kind="udp") == "web"


def test_the_outside_is_seen_with_its_own_address(world: World, web: Box) -> None:
    with world.serving(web):
        assert ask(world.host, HOST_V4, 8080, netns=OUTSIDE) == f"web {OUTSIDE_V4}"


def test_a_published_port_answers_the_host_on_every_address(world: World, web: Box) -> None:
    with world.serving(web):
        for address in (HOST_V4, HOST_V6, "127.0.0.1", "10.1.0.1", "fd00:1::1"):
            assert world.asks(None, address, 8080) == "web"


def test_a_published_port_answers_the_container_itself(world: World, web: Box) -> None:
    with world.serving(web):
        for address in (HOST_V4, HOST_V6, "10.1.0.1", "fd00:1::1"):
            assert world.asks(web.netns, address, 8080) == "web"


def test_a_published_port_answers_a_neighbour(world: World, web: Box) -> None:
    near = world.box("near")
    with world.serving(web), world.serving(web, 53, "udp"):
        for address in (HOST_V4, HOST_V6, "10.1.0.1"):
            assert world.asks(near.netns, address, 8080) == "web"
        assert world.asks(near.netns, HOST_V4, 5353, kind="udp") == "web"


def test_a_published_port_answers_another_network(world: World, web: Box) -> None:
    far = world.box("far", network="net2")
    with world.serving(web):
        for address in (HOST_V4, HOST_V6, "10.1.0.1", "10.2.0.1"):
            assert world.asks(far.netns, address, 8080) == "web"


def test_udp_flows_follow_the_port_to_its_new_container_and_leave_with_it(world: World) -> None:
    """The asker keeps its source port, so a flow that is still tracked would lead it to the old place."""
    old = world.box("old", ports=[published(5353, 53, "udp")])
    new = world.box("new")
    with (
        world.serving(old, 53, "udp"),
        world.serving(new, 53, "udp"),
        serve(world.host, None, port=5353, kind="udp", address=HOST_V4, name="host"),
    ):
        assert _same_socket(world) == "old"
        world.unpublish(old)
        assert _same_socket(world) == "host"
        world.publish(new, [published(5353, 53, "udp")])
        assert _same_socket(world) == "new"


def _same_socket(world: World) -> str:
    """Who answers an outside asker that always has one source port."""
    script = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 40000)); s.settimeout(0.5);"
        f"s.sendto(b'?', ('{HOST_V4}', 5353)); print(s.recv(99).decode().split()[0])"
    )
    return str(world.host.outside(["python3", "-ISc", script], check=False).stdout.strip())


# --- how many ------------------------------------------------------------------------------------------------------


def test_forty_ports_of_both_families_all_answer(backend_world: World) -> None:
    world = backend_world
    web = world.box("web", ports=[published(8000 + number) for number in range(40)])
    with world.serving(web):
        for number in (0, 14, 15, 16, 29, 30, 39):
            assert world.asks(OUTSIDE, HOST_V4, 8000 + number) == "web"
            assert world.asks(OUTSIDE, HOST_V6, 8000 + number) == "web"
    world.check(web)


def test_a_range_of_a_hundred_ports_leads_to_a_range_of_a_hundred(backend_world: World) -> None:
    world = backend_world
    web = world.box("web", ports=[published(8000 + number, 9000 + number) for number in range(100)])
    with world.serving(web, 9000), world.serving(web, 9099):
        assert world.asks(OUTSIDE, HOST_V4, 8000) == "web"
        assert world.asks(OUTSIDE, HOST_V4, 8099) == "web"
    world.unpublish(web)
    assert web.v4 not in _without_masquerade(world)


def _without_masquerade(world: World) -> str:
    """The rules without what bridge made: chains and elements of masquerading, which name the container too."""
    lines = rules(world).splitlines()
    return "\n".join(line for line in lines if "goto masq" not in line and "-j CNI-" not in line)


# --- configurations (conformance, section E) -----------------------------------------------------------------------


def test_no_mappings_give_prev_result_back_and_change_no_rule(backend_world: World) -> None:
    world = backend_world
    box = world.box("web")
    before = without_counts(world)
    assert world.publish(box)["ips"] == box.result["ips"]
    assert without_counts(world) == before


def test_keys_are_read_however_they_are_spelt(backend_world: World) -> None:
    world = backend_world
    web = world.box("web", ports=[{"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""}])
    with world.serving(web):
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"


@pytest.mark.parametrize("protocol", [{"protocol": "TCP"}, {"protocol": ""}, {}])
def test_protocol_is_tcp_in_any_case_and_by_default(backend_world: World, protocol: dict[str, str]) -> None:
    world = backend_world
    web = world.box("web", ports=[{"hostPort": 8080, "containerPort": 80, **protocol}])
    with world.serving(web):
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"


@pytest.mark.parametrize(
    "wrong",
    [
        {"hostPort": 0},
        {"hostPort": -1},
        {"hostPort": 65536},
        {"hostPort": "80"},
        {"containerPort": 0},
        {"containerPort": 65536},
        {"protocol": "icmp"},
        {"hostIP": "notanip"},
    ],
)
def test_a_wrong_mapping_is_refused_without_a_trace_and_no_hindrance_to_del(
    backend_world: World, wrong: dict[str, object]
) -> None:
    world = backend_world
    box = world.box("web")
    before = without_counts(world)
    with pytest.raises(PluginFailed) as refused:
        world.publish(box, [published(8080), {**published(8081), **wrong}])
    assert refused.value.error["code"] == 7
    assert without_counts(world) == before
    world.unpublish(box, knows=True)


def test_sctp_ports_are_published(backend_world: World) -> None:
    world = backend_world
    web = world.box("web", ports=[published(8080, protocol="sctp")])
    assert "sctp" in rules(world)
    world.check(web)


def test_a_host_ip_of_a_family_the_container_lacks_is_a_warning(backend_world: World) -> None:
    world = backend_world
    only4 = {"ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}]]}}
    web = world.box("web", bridge=only4, ports=[published(8080, host_ip=HOST_V6)])
    assert any(HOST_V6 in each for each in world.warnings)
    world.check(web)


def test_a_port_of_a_living_attachment_is_refused_and_its_owner_named(backend_world: World) -> None:
    world = backend_world
    first = world.box("first", ports=[published(8080)])
    second = world.box("second", network="net2")
    with pytest.raises(PluginFailed) as refused:
        world.publish(second, [published(8081), published(8080, host_ip=HOST_V4)])
    assert refused.value.error["code"] == 104
    assert "first" in refused.value.error["msg"]
    with world.serving(first), world.serving(second):
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "first"
        assert world.asks(OUTSIDE, HOST_V4, 8081) == ""


def test_a_port_of_a_dead_attachment_is_taken_over(backend_world: World) -> None:
    world = backend_world
    dead, heir = world.box("dead", ports=[published(8080)]), world.box("heir")
    world.host.run(["ip", "link", "delete", dead.result["interfaces"][1]["name"]])
    world.publish(heir, [published(8080)])
    with world.serving(heir):
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "heir"
    world.unpublish(dead)
    with world.serving(heir):
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "heir"


@pytest.mark.parametrize("chain", ["CNI-HOSTPORT-DNAT", "PREROUTING"])
def test_a_leaked_or_foreign_rule_never_wins_over_ours(backend_world: World, chain: str) -> None:
    world = backend_world
    lost = world.box("lost")
    world.host.run(["iptables", "-t", "nat", "-N", "CNI-HOSTPORT-DNAT"])
    to = ["-p", "tcp", "--dport", "8080", "-j", "DNAT", "--to-destination", f"{lost.v4}:80"]
    world.host.run(["iptables", "-t", "nat", "-A", chain, *to])
    if chain != "PREROUTING":
        world.host.run(["iptables", "-t", "nat", "-A", "PREROUTING", "-j", chain])
    web = world.box("web", ports=[published(8080)])
    with world.serving(web), world.serving(lost):
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"


def test_a_table_that_the_references_nftables_leaked_never_wins(host: PrivateHost) -> None:
    with world_of(host, backend="nftables") as world:
        lost = world.box("lost")
        for command in (
            "add table ip cni_hostport",
            "add chain ip cni_hostport prerouting { type nat hook prerouting priority -100; }",
            f"add rule ip cni_hostport prerouting tcp dport 8080 dnat to {lost.v4}:80",
        ):
            host.run(["nft", command])
        web = world.box("web", ports=[published(8080)])
        with world.serving(web), world.serving(lost):
            assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"


def test_a_process_of_the_host_on_the_port_is_a_warning(backend_world: World) -> None:
    world = backend_world
    with serve(world.host, None, port=8080):
        world.box("web", ports=[published(8080), published(8081)])
    assert [each for each in world.warnings if "8080/tcp" in each and "8081" not in each]


# --- taking back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("knows", [False, True])
def test_del_removes_everything_whether_or_not_it_is_told_the_ports(
    backend_world: World, knows: bool
) -> None:
    world = backend_world
    first = world.box(
        "first", ports=[published(8079), published(8079, protocol="udp")], dropDirectAccess=True
    )
    world.unpublish(first)
    box = world.box("web")
    before, state = without_counts(world), world.host.snapshot()
    world.publish(box, [published(8080), published(8081, protocol="udp")], dropDirectAccess=True)
    assert without_counts(world) != before
    world.unpublish(box, knows=knows)
    assert without_counts(world) == before
    # The pair, whose port may send back what came from it now, is bridge's to delete.
    left = [line for line in state.diff(world.host.snapshot()) if not line.startswith("links:")]
    assert left == []
    world.unpublish(box, knows=knows)


def test_del_without_a_record_removes_what_bears_the_attachments_names(backend_world: World) -> None:
    world = backend_world
    world.unpublish(world.box("first", ports=[published(8079)], dropDirectAccess=True))
    box = world.box("web")
    before = without_counts(world)
    world.publish(box, [published(8080)], dropDirectAccess=True)
    world.host.run(["sh", "-c", "rm -r /run/linkspan/*/records/portmap"])
    world.unpublish(box, knows=True)
    assert without_counts(world) == before


def test_del_with_another_back_end_in_the_configuration_removes_what_add_made(backend_world: World) -> None:
    world = backend_world
    world.unpublish(world.box("first", ports=[published(8079)], dropDirectAccess=True))
    box = world.box("web")
    before = without_counts(world)
    world.publish(box, [published(8080)], dropDirectAccess=True)
    other = {"nftables": "iptables", "iptables": "nftables"}[world.backend]
    world.call("portmap", "DEL", box, world.portmap_config("net1", backend=other))
    assert without_counts(world) == before


def test_two_networks_of_a_container_are_taken_back_one_by_one(backend_world: World) -> None:
    world = backend_world
    one = world.box("web", ports=[published(8080)])
    two = world.box("web", network="net2", ifname="eth1", netns=one.netns, ports=[published(8081)])
    world.unpublish(two)
    with world.serving(one):
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"
        assert world.asks(OUTSIDE, HOST_V4, 8081) == ""


def test_two_interfaces_on_one_network_are_taken_back_one_by_one(backend_world: World) -> None:
    world = backend_world
    one = world.box("web", ports=[published(8080)])
    two = world.box("web", ifname="eth1", netns=one.netns, ports=[published(8081)])
    world.unpublish(two)
    with world.serving(one):
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"
        assert world.asks(OUTSIDE, HOST_V4, 8081) == ""


def test_add_twice_leaves_no_rule_twice(backend_world: World) -> None:
    world = backend_world
    box = world.box("web", ports=[published(8080)], dropDirectAccess=True)
    before = sorted(without_counts(world))
    world.publish(box, [published(8080)], dropDirectAccess=True)
    assert sorted(without_counts(world)) == before


def test_add_again_with_other_ports_takes_the_earlier_ones_back(backend_world: World) -> None:
    world = backend_world
    box = world.box("web", ports=[published(8080)])
    world.publish(box, [published(8081)])
    with world.serving(box):
        assert world.asks(OUTSIDE, HOST_V4, 8080) == ""
        assert world.asks(OUTSIDE, HOST_V4, 8081) == "web"
    world.box("other", ports=[published(8080)])


def test_gc_removes_what_is_stale_and_keeps_what_lives(backend_world: World) -> None:
    world = backend_world
    alive, stale = world.box("alive", ports=[published(8080)]), world.box("stale", ports=[published(8081)])
    far = world.box("far", network="net2", ports=[published(8082)])
    world.gc("net1", [alive])
    with world.serving(alive), world.serving(stale), world.serving(far):
        answers = [world.asks(OUTSIDE, HOST_V4, port) for port in (8080, 8081, 8082)]
    assert answers == ["alive", "", "far"]
    world.check(alive)


# --- CHECK and STATUS ----------------------------------------------------------------------------------------------


DAMAGE = {
    "nftables": (
        "nft flush chain inet linkspan prerouting",
        "nft flush chain inet linkspan output",
        "nft flush chain inet linkspan postrouting",
        "nft flush chain inet linkspan published",
        "nft flush chain inet linkspan guard_loopback",
        "nft flush chain inet linkspan shield",
        "nft flush chain inet linkspan hairpin_10_1_0_0_24",
        "nft flush map inet linkspan ports4",
        "nft flush map inet linkspan ports6",
        "nft flush map inet linkspan hairpin4",
        "nft flush set inet linkspan localnet",
        "nft flush set inet linkspan shielded6",
        "nft flush set inet linkspan inside",
        "nft delete table inet linkspan",
        "nft flush ruleset",
    ),
    "iptables": (
        "iptables -t nat -F PREROUTING",
        "iptables -t nat -F OUTPUT",
        "ip6tables -t nat -F PREROUTING",
        "iptables -t nat -F POSTROUTING",
        "iptables -t nat -F CNI-HOSTPORT-MASQ",
        "iptables -t nat -F CNI-HOSTPORT-SETMARK",
        "iptables -t nat -F CNI-HOSTPORT-DNAT",
        "ip6tables -t nat -F CNI-HOSTPORT-DNAT",
        "iptables -t raw -F",
        "iptables -t mangle -F PREROUTING",
        "ip6tables -t mangle -F CNI-SHIELD",
        "iptables -t nat -F",
        "iptables -t nat -F $(iptables -t nat -S | sed -n 's/^-N \\(CNI-DN-.*\\)/\\1/p')",
        "iptables -P FORWARD DROP",
    ),
}


@pytest.mark.parametrize(
    ("backend", "damage"),
    [(backend, each) for backend, several in DAMAGE.items() for each in several],
)
def test_check_finds_every_rule_that_was_flushed(host: PrivateHost, backend: str, damage: str) -> None:
    with world_of(host, backend=backend) as world:
        box = world.box("web", ports=[published(8080)], dropDirectAccess=True)
        world.check(box)
        host.run(["sh", "-c", damage])
        with pytest.raises(PluginFailed) as found:
            world.check(box)
        assert found.value.error["code"] == 103
        world.publish(box, [published(8080)], dropDirectAccess=True)
        world.check(box)


def test_check_finds_a_port_that_leads_to_another_address(backend_world: World) -> None:
    world = backend_world
    box = world.box("web", ports=[published(8080)])
    changed = {**box.result, "ips": [{**box.result["ips"][0], "address": "10.1.0.99/24"}]}
    with pytest.raises(PluginFailed) as found:
        world.check(box, prevResult=changed)
    assert found.value.error["code"] == 103


def test_check_needs_no_runtime_config(backend_world: World) -> None:
    world = backend_world
    box = world.box("web", ports=[published(8080)])
    config = {**world.portmap_config("net1"), "prevResult": box.result}
    world.call("portmap", "CHECK", box, config)


def test_status_is_ready_with_either_back_end(backend_world: World) -> None:
    backend_world.status()


def test_status_is_50_without_the_programs_of_the_back_end(host: PrivateHost) -> None:
    with world_of(host, backend="iptables") as world:
        for folder in ("/usr/sbin", "/sbin"):
            host.run(["sh", "-c", f"test -L {folder} || mount -t tmpfs empty {folder}"])
        with pytest.raises(PluginFailed) as refused:
            world.status()
    assert refused.value.error["code"] == 50


# --- further keys --------------------------------------------------------------------------------------------------

CONDITIONS: dict[str, dict[str, Any]] = {
    "nftables": {"conditionsV4": ["ip", "saddr", OUTSIDE_V4], "conditionsV6": ["ip6", "saddr", "::1"]},
    "iptables": {"conditionsV4": ["-s", OUTSIDE_V4], "conditionsV6": ["-s", "::1"]},
}


def test_conditions_narrow_one_containers_ports_and_nobody_elses(backend_world: World) -> None:
    world = backend_world
    narrow = world.box("narrow", ports=[published(8080)], **CONDITIONS[world.backend])
    wide = world.box("wide", network="net2", ports=[published(8081)])
    with world.serving(narrow), world.serving(wide):
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "narrow"
        assert world.asks(OUTSIDE, HOST_V6, 8080) == ""
        assert world.asks(None, HOST_V4, 8080) == ""
        assert world.asks(OUTSIDE, HOST_V6, 8081) == "wide"
    world.check(narrow)
    world.unpublish(narrow)


def test_conditions_of_the_other_back_end_are_refused(backend_world: World) -> None:
    world = backend_world
    other = {"nftables": "iptables", "iptables": "nftables"}[world.backend]
    box = world.box("web")
    with pytest.raises(PluginFailed) as refused:
        world.publish(box, [published(8080)], **CONDITIONS[other])
    assert refused.value.error["code"] == 7


def test_masq_all_hides_the_outside_from_the_container(backend_world: World) -> None:
    world = backend_world
    web = world.box("web", ports=[published(8080)], masqAll=True)
    with world.serving(web):
        assert ask(world.host, HOST_V4, 8080, netns=OUTSIDE) == "web 10.1.0.1"
        assert ask(world.host, HOST_V6, 8080, netns=OUTSIDE) == "web fd00:1::1"


def test_without_snat_the_host_cannot_use_its_own_localhost(backend_world: World) -> None:
    world = backend_world
    web = world.box("web", ports=[published(8080)], snat=False)
    with world.serving(web):
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"
        assert world.asks(None, "127.0.0.1", 8080) == ""
    assert world.host.run(["sysctl", "-n", "net.ipv4.conf.br-net1.route_localnet"]).stdout.strip() == "0"


def test_a_mark_of_ones_own_masquerades_as_well(host: PrivateHost) -> None:
    with world_of(host, backend="iptables") as world:
        web = world.box("web", ports=[published(8080)], markMasqBit=20)
        assert "--set-xmark 0x100000/0x100000" in rules(world)
        with world.serving(web):
            assert world.asks(web.netns, HOST_V4, 8080) == "web"


def test_a_chain_of_ones_own_sets_the_mark(host: PrivateHost) -> None:
    with world_of(host, backend="iptables") as world:
        for tool, rule in itertools.product(
            ("iptables", "ip6tables"),
            (
                "-N MINE",
                "-A MINE -j MARK --set-xmark 0x40/0x40",
                "-A POSTROUTING -m mark --mark 0x40/0x40 -j MASQUERADE",
            ),
        ):
            host.run([tool, "-t", "nat", *rule.split()])
        web = world.box("web", ports=[published(8080)], externalSetMarkChain="MINE")
        assert "CNI-HOSTPORT-SETMARK" not in rules(world)
        with world.serving(web):
            assert world.asks(web.netns, HOST_V4, 8080) == "web"
        world.check(web)


def test_a_container_on_two_networks_publishes_through_the_one_that_is_left(backend_world: World) -> None:
    """Runtimes ask every network's portmap for the same port; the port answers until the last of them is gone."""
    world = backend_world
    netns = world.host.add_netns("two", loopback_up=True)
    first = world.box("two", ports=[published(8080)], netns=netns)
    second = world.box("two", network="net2", ifname="eth1", ports=[published(8080)], netns=netns)
    with world.serving(first):
        for box in (first, second):
            world.check(box)
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "two"
        world.unpublish(second)
        world.call("bridge", "DEL", second, world.bridge_config("net2"))
        world.check(first)
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "two"
