"""Who reaches whom: isolated networks of ours, others of ours, somebody else's bridge, the LAN, the host. Real packets."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from linkspan.call.records import Records
from linkspan.cni import model
from linkspan.host.linux import LinuxHost
from linkspan.netfilter.forwarding import CHAIN, ONWARD
from linkspan.steps.closing import Close
from tests.harness import ours
from tests.harness.chain import Attachment, Chain
from tests.harness.privatehost import HOST_V4, HOST_V6, OUTSIDE, OUTSIDE_V4, PrivateHost
from tests.harness.talk import serve
from tests.harness.world import Box, PluginFailed, World, published

pytestmark = pytest.mark.root

ISOLATED = {"isolated": True}
CLOSED = ("nft", "list", "set", "inet", "linkspan", "closed")
#: A bridge and a container as another program has them: (address in each family, that of its bridge).
STRANGER = {4: ("172.30.0.2", "172.30.0.1"), 6: ("fd00:30::2", "fd00:30::1")}
#: A second LAN and a VPN, each a neighbour behind a link without a default route.
LAN, VPN = "192.0.2.1", "10.200.0.9"


def strange_bridge(world: World) -> None:
    """A bridge like Docker's with one container, in whose favour no packet rule says anything."""
    host = world.host
    host.add_netns("stranger", loopback_up=True)
    host.run(["ip", "link", "add", "docker0", "type", "bridge"])
    host.run(["ip", "link", "add", "veth-s", "type", "veth", "peer", "name", "eth0", "netns", "stranger"])
    host.run(["ip", "link", "set", "veth-s", "master", "docker0", "up"])
    host.run(["ip", "link", "set", "docker0", "up"])
    host.run(["ip", "link", "set", "eth0", "up"], netns="stranger")
    for family, (address, gateway) in STRANGER.items():
        length, nodad = ("24", []) if family == 4 else ("64", ["nodad"])
        host.run(["ip", "address", "add", f"{gateway}/{length}", "dev", "docker0", *nodad])
        host.run(["ip", "address", "add", f"{address}/{length}", "dev", "eth0", *nodad], netns="stranger")
        host.run(["ip", f"-{family}", "route", "add", "default", "via", gateway], netns="stranger")
    # It publishes a port, as the reference's portmap does.
    for tool, family in (("iptables", 4), ("ip6tables", 6)):
        target = STRANGER[family][0] if family == 4 else f"[{STRANGER[family][0]}]"
        rule = "-p tcp --dport 9090 -m addrtype --dst-type LOCAL -j DNAT --to-destination"
        host.run([tool, "-t", "nat", "-A", "PREROUTING", *rule.split(), f"{target}:80"])


def neighbour(world: World, link: str, address: str, own: str) -> None:
    """A host behind a link of that name, which knows the way to our containers."""
    host = world.host
    netns = f"at-{link}"
    host.add_netns(netns, loopback_up=True)
    host.run(["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", netns])
    host.run(["ip", "link", "set", link, "up"])
    host.run(["ip", "link", "set", "eth0", "up"], netns=netns)
    host.run(["ip", "address", "add", own, "dev", link])
    host.run(["ip", "address", "add", f"{address}/32", "dev", "eth0"], netns=netns)
    gateway = own.partition("/")[0]
    host.run(["ip", "route", "add", gateway, "dev", "eth0"], netns=netns)
    host.run(["ip", "route", "add", "default", "via", gateway], netns=netns)
    if own.endswith("/32"):
        host.run(["ip", "route", "add", address, "dev", link])


@dataclass(frozen=True)
class Town:
    """Containers on three networks of ours (`near` and `web` share one; `plain`'s is not isolated) and their neighbours."""

    world: World
    boxes: dict[str, Box]

    @contextmanager
    def open(self) -> Iterator[None]:
        """Everybody serves port 80 with its name."""
        with ExitStack() as servers:
            for box in self.boxes.values():
                servers.enter_context(self.world.serving(box))
            for netns, name in (
                ("stranger", "stranger"),
                (OUTSIDE, "world"),
                ("at-lan1", "lan"),
                ("at-tun7", "vpn"),
            ):
                servers.enter_context(serve(self.world.host, netns, port=80, name=name))
            yield

    def namespace(self, name: str) -> str | None:
        if name in self.boxes:
            return self.boxes[name].netns
        return {"host": None, "lan": OUTSIDE}.get(name, name)

    def answers(self, questions: list[tuple[str, str, int]]) -> dict[tuple[str, str, int], str]:
        """(who asks, address, port) -> who answers, "" for nobody."""
        with ThreadPoolExecutor(8) as threads:
            asked = threads.map(lambda it: self.world.asks(self.namespace(it[0]), it[1], it[2]), questions)
            return dict(zip(questions, asked, strict=True))


@pytest.fixture(params=["ACCEPT", "DROP"])
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def town(world: World, policy: str) -> Town:
    """A town on a host with this policy of FORWARD."""
    strange_bridge(world)
    neighbour(world, "lan1", LAN, "192.0.2.254/24")
    neighbour(world, "tun7", VPN, "10.200.0.1/32")
    for tool in ("iptables", "ip6tables"):
        world.host.run([tool, "-P", "FORWARD", policy])
    boxes = {
        "web": world.box("web", bridge=ISOLATED, ports=[published(8080)]),
        "near": world.box("near", bridge=ISOLATED),
        "plain": world.box("plain", network="net2"),
        "walled": world.box("walled", network="net3", bridge=ISOLATED),
    }
    for number in (1, 2, 3):
        world.host.outside(["ip", "route", "add", f"10.{number}.0.0/24", "via", HOST_V4])
        world.host.outside(["ip", "route", "add", f"fd00:{number}::/64", "via", HOST_V6])
    return Town(world, boxes)


EVERYBODY = ("near", "plain", "walled", "stranger", "lan", "host")


def test_an_isolated_network_is_reached_by_its_host_its_own_and_published_ports_only(town: Town) -> None:
    web, own = town.boxes["web"], ("near", "host")
    expected = {
        (who, address, 80): "web" if who in own else "" for who in EVERYBODY for address in (web.v4, web.v6)
    }
    expected |= {(who, address, 8080): "web" for who in EVERYBODY for address in (HOST_V4, HOST_V6)}
    with town.open():
        assert town.answers(list(expected)) == expected


def test_an_isolated_container_reaches_everything_that_is_not_closed(town: Town, policy: str) -> None:
    plain, walled = town.boxes["plain"], town.boxes["walled"]
    strangers = "stranger" if policy == "ACCEPT" else ""
    expected = {
        ("web", plain.v4, 80): "plain",
        ("web", plain.v6, 80): "plain",
        ("web", walled.v4, 80): "",
        ("web", walled.v6, 80): "",
        ("web", OUTSIDE_V4, 80): "world",
        ("web", LAN, 80): "lan",
        ("web", VPN, 80): "vpn",
        ("web", HOST_V4, 9090): "stranger",
        ("web", HOST_V6, 9090): "stranger",
        ("web", STRANGER[4][0], 80): strangers,
        ("web", STRANGER[6][0], 80): strangers,
    }
    with town.open():
        assert town.answers(list(expected)) == expected


def test_a_network_that_is_not_isolated_is_as_open_as_its_host(town: Town, policy: str) -> None:
    """And ours opens nobody else's bridge, whichever of our networks asks."""
    plain = town.boxes["plain"]
    expected = {(who, plain.v4, 80): "plain" for who in ("web", "walled", "host")}
    expected |= {(who, plain.v4, 80): "plain" if policy == "ACCEPT" else "" for who in ("stranger", "lan")}
    expected |= {
        ("plain", STRANGER[family][0], 80): "stranger" if policy == "ACCEPT" else "" for family in (4, 6)
    }
    with town.open():
        assert town.answers(list(expected)) == expected


# --- what others do to the rules, and what becomes of ours ------------------------------------------------------------


def closed(world: World) -> str:
    return world.rules(*CLOSED)


def reaches(world: World, who: Box, whom: Box) -> bool:
    with world.serving(whom):
        return world.asks(who.netns, whom.v4, 80) == whom.name


@pytest.fixture
def two(backend_world: World) -> tuple[World, Box, Box]:
    """A container on an isolated network, and one on another."""
    world = backend_world
    return world, world.box("web", bridge=ISOLATED), world.box("other", network="net2")


def test_a_program_that_accepts_everything_first_opens_nothing(two: tuple[World, Box, Box]) -> None:
    world, web, other = two
    world.host.run(["iptables", "-I", "FORWARD", "-j", "ACCEPT"])
    assert not reaches(world, other, web)


def check(world: World, box: Box) -> None:
    world.call("bridge", "CHECK", box, {**world.bridge_config("net1", ISOLATED), "prevResult": box.result})


@pytest.mark.parametrize(
    "lost",
    [
        "delete element inet linkspan closed { br-net1 }",
        "delete element inet linkspan open { br-net1 . br-net1 }",
        "flush chain inet linkspan closing",
        "flush chain inet linkspan forward",
        "flush ruleset",
    ],
)
def test_check_tells_what_is_missing_and_reload_brings_it_back(
    two: tuple[World, Box, Box], lost: str
) -> None:
    world, web, other = two
    check(world, web)
    world.host.run(["nft", lost])
    with pytest.raises(PluginFailed) as caught:
        check(world, web)
    assert caught.value.error["code"] == 103
    assert "linkspan reload" in caught.value.error["details"]
    ours.linkspan(world.host, "reload")
    check(world, web)
    assert not reaches(world, other, web)


def test_the_next_add_closes_a_network_that_was_flushed(two: tuple[World, Box, Box]) -> None:
    world, web, other = two
    world.host.run(["nft", "flush", "ruleset"])
    assert reaches(world, other, web)
    world.box("next", bridge=ISOLATED)
    assert not reaches(world, other, web)


def test_the_last_del_opens_the_network_and_the_next_add_closes_it(two: tuple[World, Box, Box]) -> None:
    world, web, other = two
    near = world.box("near", bridge=ISOLATED)
    world.remove(web)
    assert "br-net1" in closed(world)
    world.remove(near)
    assert "br-net1" not in closed(world)
    again = world.box("again", bridge=ISOLATED)
    assert not reaches(world, other, again)


def test_gc_of_the_last_attachment_opens_the_network(two: tuple[World, Box, Box]) -> None:
    world, _, _ = two
    nobody = Box("", "", "net1", "", {})
    world.call("bridge", "GC", nobody, {**world.bridge_config("net1"), "cni.dev/valid-attachments": []})
    assert "br-net1" not in closed(world)


def test_an_add_without_the_key_leaves_the_network_closed(two: tuple[World, Box, Box]) -> None:
    world, web, other = two
    world.box("near")
    assert not reaches(world, other, web)


@pytest.mark.parametrize("policy", ["ACCEPT", "DROP"])
def test_without_nftables_iptables_closes_the_network(
    host: PrivateHost, backend_world: World, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = backend_world
    for tool in ("iptables", "ip6tables"):
        host.run([tool, "-P", "FORWARD", policy])
    web, near = (world.box(name, ports=[published(port)]) for name, port in (("web", 8080), ("near", 8081)))
    other = world.box("other", network="net2")
    assert reaches(world, other, web)
    with host.entered():
        real = LinuxHost()
        monkeypatch.setattr(type(real.nftables), "usable", lambda _: False)
        Close("br-net1", "br-net1").do(real)
        monkeypatch.undo()
        real.close()
    assert [reaches(world, who, web) for who in (other, near)] == [False, True]
    with world.serving(web), serve(host, OUTSIDE, port=80, name="world"):
        assert world.asks(other.netns, HOST_V4, 8080) == "web"
        assert world.asks(other.netns, HOST_V6, 8080) == "web"
        assert world.asks(other.netns, web.v6, 80) == ""
        assert world.asks(web.netns, OUTSIDE_V4, 80) == "world"


# --- the rule of earlier versions ---------------------------------------------------------------------------------------


def of_an_earlier_version(world: World, *boxes: Box) -> None:
    """The rules and the records of a build that accepted whatever comes from a bridge."""
    host = world.host
    with host.entered():
        real = LinuxHost()
        records = Records(real, "bridge")
        for box in boxes:
            attachment = model.Attachment(box.network, box.name, box.ifname)
            kept = records.read(attachment) or {}
            records.write(attachment, {name: value for name, value in kept.items() if name != "isolated"})
        real.close()
    replies = "-o br-net1 -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT"
    for command in (
        f"-F {ONWARD}",
        f"-F {CHAIN}",
        f"-A {CHAIN} -i br-net1 -j ACCEPT",
        f"-A {CHAIN} {replies}",
    ):
        host.run(["iptables", *command.split()])


@pytest.mark.parametrize("how", ["ADD", "DEL", "reload"])
def test_the_rule_of_an_earlier_version_is_replaced(backend_world: World, how: str) -> None:
    world = backend_world
    strange_bridge(world)
    world.host.run(["iptables", "-P", "FORWARD", "DROP"])
    web, peer = world.box("web"), world.box("peer")
    of_an_earlier_version(world, web, peer)
    with serve(world.host, "stranger", port=80):
        assert world.asks(peer.netns, STRANGER[4][0], 80) == "stranger"
        if how == "ADD":
            world.box("next")
        elif how == "DEL":
            world.remove(web)
        else:
            ours.linkspan(world.host, "reload")
        assert world.asks(peer.netns, STRANGER[4][0], 80) == ""
    with serve(world.host, OUTSIDE, port=80, name="world"):
        assert world.asks(peer.netns, OUTSIDE_V4, 80) == "world"


# --- the sample lists ---------------------------------------------------------------------------------------------------


def test_containers_of_two_sample_lists_do_not_reach_each_other(host: PrivateHost) -> None:
    """The tutorial's row 46: a ping to the other network's container is lost, one to its gateway is not."""
    ours.install(host)
    address = {}
    for name in ("bridge", "custom", "dual-stack"):
        chain = Chain(ours.conflist(name), ours.BIN, host=host, env=ours.STANDALONE)
        result = chain.add(Attachment(name, host.add_netns(name, loopback_up=True)))
        address[name] = result["ips"][0]["address"].partition("/")[0]
    for one in address:
        for other in address.keys() - {one}:
            ping = ["ping", "-c2", "-i0.2", "-W1"]
            lost = host.run([*ping, address[other]], netns=one, check=False)
            assert "100% packet loss" in lost.stdout
            gateway = f"{address[other].rpartition('.')[0]}.1"
            assert " 0% packet loss" in host.run([*ping, gateway], netns=one).stdout
