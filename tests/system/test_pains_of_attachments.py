"""What hurt users of the reference plugins about addresses, links and cleaning up, one test or a few for each pain, by its number.

In the docstrings `plugins#252` is a ticket of containernetworking/plugins; each says what went wrong there and what ours does. The pains
about packet rules are in test_pains_of_rules.py.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from linkspan.cni.model import Attachment as Identity
from linkspan.host.contract import PortVlans
from linkspan.host.linux.netlink.client import NETLINK_ROUTE, Netlink, NetlinkError
from linkspan.host.linux.netlink.rtnl_link import get_links, read_link
from tests.harness import ours
from tests.harness.chain import Attachment, Chain, ChainError
from tests.harness.memory import Desk
from tests.harness.networks import box, conflist, published, use_once
from tests.harness.patience import until
from tests.harness.privatehost import PrivateHost
from tests.harness.snapshot import Snapshot
from tests.harness.talk import advertise
from tests.interchange.mixes import LEASES, addresses, container, leased, pool

pytestmark = pytest.mark.root

JsonObject = dict[str, Any]
BACKENDS = pytest.mark.parametrize("backend", ["iptables", "nftables"])


@pytest.fixture(autouse=True)
def installed(host: PrivateHost) -> None:
    """Our executables in the host."""
    ours.install(host)


def bridged(host: PrivateHost, *subnets: str, env: Mapping[str, str] = ours.STANDALONE, **keys: Any) -> Chain:
    """A network of the plugin bridge alone, on br0, with a range set for each subnet; `keys` are more keys, or others."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": subnet}] for subnet in subnets]}
    bridge = {"type": "bridge", "bridge": "br0", "isDefaultGateway": True, "ipam": ipam, **keys}
    listed = {"cniVersion": "1.1.0", "name": "net1", "plugins": [bridge]}
    return Chain(listed, ours.BIN, host=host, env=env)


def whole(host: PrivateHost, env: Mapping[str, str] = ours.STANDALONE) -> Chain:
    """A network of every plugin that keeps something for an attachment."""
    listed = conflist("n1", 1, backend="nftables", ingressPolicy="same-bridge")
    listed["plugins"] += [{"type": "tuning", "mtu": 1400}, {"type": "dns"}]
    return Chain(listed, ours.BIN, host=host, env=env)


def settled(chain: Chain, host: PrivateHost) -> Snapshot:
    """The host after one container came and went: what is shared and stays is there."""
    use_once(host, chain)
    return seen(host)


def seen(host: PrivateHost) -> Snapshot:
    return host.snapshot(ignore=[*ours.STAYS, "box*", "first", "second"])


def here(ip: str) -> str:
    return ip.partition("/")[0]


# --- 1 to 5: leases, GC, DEL ---------------------------------------------------------------------------------------


def test_pain_1_leases_of_an_earlier_boot_are_free(host: PrivateHost) -> None:
    """plugins#252, #332: leases outlived a boot until the range was full; ours know their boot, and a late DEL of then still succeeds."""
    chain = pool(host, [ours.BIN], "10.1.0.0/30", env=ours.STANDALONE)
    chain.add(container("before"))
    with host.another_boot():
        chain.add(replace(container("after"), args="IP=10.1.0.2"))
        chain.delete(container("before"), forget=True)
        assert host.read(f"{LEASES}/pool/10.1.0.2").split() == ["after", "eth0"]


def test_pain_1_leases_of_this_boot_are_not(host: PrivateHost) -> None:
    """The other half of plugins#252: a static address of a living container is refused."""
    chain = pool(host, [ours.BIN], "10.1.0.0/30", env=ours.STANDALONE)
    chain.add(container("before"))
    with pytest.raises(ChainError, match=r"10\.1\.0\.2 is not available"):
        chain.add(replace(container("after"), args="IP=10.1.0.2"))


def test_pain_2_gc_takes_back_what_the_runtime_no_longer_knows(host: PrivateHost) -> None:
    """plugins#1047, #1289: GC did nothing in any plugin; ours leave the host as it was before the attachment, and the living alone."""
    chain = whole(host)
    settled(chain, host)
    living = box(host, "box1", published(8080))
    chain.add(living)
    before = seen(host)
    chain.add(box(host, "box2", published(8081)))
    assert seen(host).diff(before) != []
    chain.gc([living])
    assert seen(host).diff(before) == []
    chain.check(living)


def test_pain_2_gc_with_an_empty_list_takes_back_everything(host: PrivateHost) -> None:
    """plugins#1047: the list of the living may be empty, and that means something."""
    chain = whole(host)
    empty = settled(chain, host)
    chain.add(box(host, "box1", published(8080)))
    chain.gc([])
    assert seen(host).diff(empty) == []


def test_pain_2_gc_without_a_list_takes_nothing_back(host: PrivateHost) -> None:
    """plugins#1013: without the key nobody said who lives, so all may."""
    chain = whole(host)
    living = box(host, "box1", published(8080))
    chain.add(living)
    before = seen(host)
    chain.gc(None)
    assert seen(host).diff(before) == []


def test_pain_3_an_empty_lease_file_blocks_no_address(host: PrivateHost) -> None:
    """plugins#498: a crash left an empty file that nobody owned, and its address was lost for ever; ours count it as free."""
    host.write(f"{LEASES}/pool/10.1.0.2", "")
    chain = pool(host, [ours.BIN], "10.1.0.0/30", env=ours.STANDALONE)
    assert addresses(chain.add(container("a"))) == ["10.1.0.2"]
    assert host.read(f"{LEASES}/pool/10.1.0.2").split() == ["a", "eth0"]


def test_pain_3_a_full_disk_leaves_no_lease_file(host: PrivateHost) -> None:
    """plugins#498: a full disk made such files, too; ours appear whole or not at all."""
    host.run(["mount", "-t", "tmpfs", "-o", "size=16k", "full", "/var/lib/cni"])
    host.write("/var/lib/cni/filler", "x" * 16384)
    chain = pool(host, [ours.BIN], "10.1.0.0/30", env=ours.STANDALONE)
    with pytest.raises(ChainError, match="No space left"):
        chain.add(container("a"))
    assert os.listdir(host.path(f"{LEASES}/pool")) == ["lock"]
    os.unlink(host.path("/var/lib/cni/filler"))
    assert addresses(chain.add(container("a"))) == ["10.1.0.2"]


LATER: dict[str, JsonObject] = {
    "portmap": {"type": "portmap", "capabilities": {"portMappings": True}},
    "firewall": {"type": "firewall", "ingressPolicy": "nonsense"},
    "tuning": {"type": "tuning", "mtu": "nonsense"},
    "dns": {"type": "dns", "domainName": "a b"},
}


@pytest.mark.parametrize("later", LATER)
def test_pain_4_del_works_after_a_later_plugin_failed_add(host: PrivateHost, later: str) -> None:
    """containerd#12130, #5768: a plugin that failed ADD failed DEL as well, and every retry lost an address; ours never fail DEL for that."""
    chain = bridged(host, "10.1.0.0/30")
    chain.plugins.append(LATER[later])
    for _ in range(3):
        one = Attachment("box", host.add_netns("box"), capabilities={"portMappings": [published(70_000)]})
        with pytest.raises(ChainError) as failed:
            chain.add(one)
        assert failed.value.call.plugin == later
        chain.delete(one, forget=True)
        host.del_netns("box")
    assert leased(host, "net1") == []


@BACKENDS
@pytest.mark.parametrize("netns", ["empty", "gone"])
def test_pain_5_del_without_a_namespace_leaves_no_masquerading(
    host: PrivateHost, backend: str, netns: str
) -> None:
    """plugins#810, #1078: addresses were read from the namespace, so DEL without one left three rules; ours go by name and record."""
    chain = bridged(host, "10.1.0.0/24", "fd00:1::/64", ipMasq=True, ipMasqBackend=backend)
    before = settled(chain, host)
    one = box(host, "box")
    chain.add(one)
    host.del_netns("box")
    chain.delete(replace(one, netns="" if netns == "empty" else one.netns), forget=True)
    assert seen(host).diff(before) == []


# --- 16 and 17: addresses that are used again ----------------------------------------------------------------------


def pinged(host: PrivateHost, asker: str | None, address: str) -> bool:
    """Whether one ping is answered, sooner than the kernel gives up an outdated neighbour (five seconds and more)."""
    done = host.run(["ping", "-c1", "-W3", address], netns=asker, check=False)
    return done.returncode == 0


def test_pain_16_a_reused_address_answers_at_once_with_its_new_mac(host: PrivateHost) -> None:
    """plugins#756, #588, #687: neighbours kept the old MAC for ten seconds; ours announces every address once its link carries."""
    ranges = [
        [{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.2", "rangeEnd": "10.1.0.3"}],
        [{"subnet": "fd00:1::/64", "rangeStart": "fd00:1::2", "rangeEnd": "fd00:1::3"}],
    ]
    ipam = {"type": "host-local", "ranges": ranges}
    chain = bridged(host, ipam=ipam, capabilities={"mac": True})
    chain.add(box(host, "first"))
    for name, mac in (("box1", "02:00:00:00:00:01"), ("box2", "02:00:00:00:00:02")):
        one = replace(box(host, name), capabilities={"mac": mac})
        for ip in chain.add(one)["ips"]:
            assert pinged(host, None, here(ip["address"])), f"the host takes {ip} for another than {name}"
            assert pinged(host, "first", here(ip["address"])), f"a neighbour takes {ip} for another"
        chain.delete(one)


def test_pain_17_an_address_is_used_again_as_late_as_can_be(host: PrivateHost) -> None:
    """plugins#146, libnetwork#1945: round robin came by the address freed last; ours takes the one freed first."""
    chain = pool(host, [ours.BIN], "10.1.0.0/29", env=ours.STANDALONE)
    for name in "abcde":
        chain.add(container(name))
    for name in "cda":
        chain.delete(container(name))
    given = [addresses(chain.add(container(name)))[0] for name in ("new1", "new2", "new3")]
    assert given == ["10.1.0.4", "10.1.0.5", "10.1.0.2"]


def test_pain_17_a_requested_address_moves_no_cursor(host: PrivateHost) -> None:
    """cni#194: after somebody asked for .5 the next one got .6; ours goes on where it was."""
    chain = pool(host, [ours.BIN], "10.1.0.0/29", env=ours.STANDALONE)
    chain.add(container("a"))
    chain.add(replace(container("asked"), args="IP=10.1.0.5"))
    assert host.read(f"{LEASES}/pool/last_reserved_ip.0") == "10.1.0.2"
    assert addresses(chain.add(container("b"))) == ["10.1.0.3"]


def test_pain_17_a_cool_down_is_never_a_refusal(host: PrivateHost) -> None:
    """What must not come of it: where there is one address only, it is given again at once."""
    chain = pool(host, [ours.BIN], "10.1.0.0/30", env=ours.STANDALONE)
    for name in "abc":
        assert addresses(chain.add(container(name))) == ["10.1.0.2"]
        chain.delete(container(name))


# --- 18 and 19: IPv6 -----------------------------------------------------------------------------------------------


def tentative(host: PrivateHost, netns: str | None, link: str) -> list[str]:
    """The addresses that cannot be used yet."""
    return [each["local"] for each in host.links(netns)[link]["addr_info"] if each.get("tentative")]


def test_pain_18_ipv6_addresses_are_usable_when_add_returns(host: PrivateHost) -> None:
    """plugins#680, #688, #52: ADD waited two seconds for duplicates, and the gateway was tentative still; ours are good at once."""
    one = box(host, "box")
    for netns in (None, "box"):
        host.run(["sysctl", "-qw", "net.ipv6.conf.default.dad_transmits=100"], netns=netns)
    bridged(host, "fd00:1::/64").add(one)
    assert (tentative(host, None, "br0"), tentative(host, "box", "eth0")) == ([], [])
    assert pinged(host, "box", "fd00:1::1")


def test_pain_18_the_gateway_is_usable_at_once_on_a_bridge_that_was_there_before(host: PrivateHost) -> None:
    """plugins#695: whoever made the bridge, its new IPv6 address waits for nobody."""
    host.run(["sysctl", "-qw", "net.ipv6.conf.default.dad_transmits=100"])
    host.run(["ip", "link", "add", "br0", "type", "bridge"])
    bridged(host, "fd00:1::/64").add(box(host, "box"))
    assert "fd00:1::1" not in tentative(host, None, "br0")


def test_pain_18_enabledad_asks_for_the_container_s_address_and_waits_for_the_answer(
    host: PrivateHost,
) -> None:
    """plugins#680: who wants duplicates found has an address that can be used when ADD returns, and pays the second."""
    bridged(host, "fd00:1::/64", enabledad=True).add(box(host, "box"))
    assert host.run(["cat", "/proc/sys/net/ipv6/conf/eth0/accept_dad"], netns="box").stdout == "1\n"
    assert "fd00:1::2" not in tentative(host, "box", "eth0")


def test_pain_19_a_container_takes_no_address_or_route_from_advertisements(host: PrivateHost) -> None:
    """plugins#160: it had SLAAC's address and route before tuning could say no; ours says no before the link is up.

    A container that IPAM gives no IPv6 address finds its own, as before: here the proof that somebody advertised.
    """
    chain = bridged(host, "10.1.0.0/24", "fd00:1::/64")
    for each in ("box", "rogue"):
        chain.add(box(host, each))
    bridged(host, isDefaultGateway=False, ipam={}).add(box(host, "plain"))
    advertise(host, netns="rogue", device="eth0", prefix="fd00:bad::")
    until(lambda: "fd00:bad::" in shown(host, "plain"), "the rogue's prefix", 20)
    assert "fd00:bad::" not in shown(host, "box")
    assert "proto ra" not in shown(host, "box")


def test_a_container_with_ipv4_only_ignores_router_advertisements_if_told_so(host: PrivateHost) -> None:
    """CVE-2020-10749, the container's half: a neighbour's advertisement would give it an address and a default route."""
    bridged(host, "10.1.0.0/24", acceptRA=False).add(box(host, "box"))
    for each in ("rogue", "plain"):
        bridged(host, "10.1.0.0/24").add(box(host, each))
    advertise(host, netns="rogue", device="eth0", prefix="fd00:bad::")
    until(lambda: "fd00:bad::" in shown(host, "plain"), "the rogue's prefix", 20)
    assert "fd00:bad::" not in shown(host, "box")
    assert "proto ra" not in shown(host, "box")


def shown(host: PrivateHost, netns: str) -> str:
    """Addresses and routes of a container."""
    return host.run(["sh", "-c", "ip -6 address show dev eth0; ip -6 route show"], netns=netns).stdout


# --- 20 to 24: links -----------------------------------------------------------------------------------------------

SPOILT_TABLE = "add table inet linkspan; add map inet linkspan masquerade4 { type ifname : mark; }"


@pytest.mark.parametrize(
    "fault", ["no address is left", "the bridge is another network's", "rules are refused"]
)
def test_pain_20_a_failed_add_leaves_nothing_without_any_del(host: PrivateHost, fault: str) -> None:
    """plugins#29, #32: the pair stayed when IPAM failed; ours asks IPAM before it makes anything and rolls back the rest."""
    chain = bridged(host, "10.1.0.0/30")
    chain.add(box(host, "box1"))
    if fault == "the bridge is another network's":
        chain = bridged(host, "10.2.0.0/24")
    elif fault == "rules are refused":
        chain = bridged(host, "10.1.0.0/24", ipMasq=True, ipMasqBackend="nftables")
        host.run(["nft", SPOILT_TABLE])
    one = box(host, "box2")
    before = seen(host)
    with pytest.raises(ChainError):
        chain.add(one)
    assert seen(host).diff(before) == []
    assert set(host.links("box2")) == {"lo"}


def test_pain_20_a_failed_add_leaves_no_gateway_in_the_way_of_a_corrected_list(host: PrivateHost) -> None:
    """podman#12306: the bridge kept the address of an ADD that failed, and the corrected list found it taken; ours takes it back."""
    host.run(["nft", SPOILT_TABLE])
    one = box(host, "box")
    with pytest.raises(ChainError, match="nftables"):
        bridged(host, "10.1.0.0/24", ipMasq=True, ipMasqBackend="nftables").add(one)
    bridged(host, "10.2.0.0/24").add(one)
    assert [each["local"] for each in host.links()["br0"]["addr_info"] if each["family"] == "inet"] == [
        "10.2.0.1"
    ]


def test_pain_21_udev_leaves_the_host_end_s_mac_alone(host: PrivateHost) -> None:
    """plugins#808, cni#1057: udev replaced a MAC that the kernel had drawn; ours is set with the link, which tells udev so."""
    result = bridged(host, "10.1.0.0/24").add(box(host, "box"))
    veth = result["interfaces"][1]["name"]
    read = f"mount -t sysfs sys /mnt && cat /mnt/class/net/{veth}/addr_assign_type"
    assert (
        host.run(["unshare", "--mount", "sh", "-c", read]).stdout.strip() == "3"
    )  # NET_ADDR_SET, linux/netdevice.h


def test_pain_21_check_does_not_mind_another_mac_of_the_host_end(host: PrivateHost) -> None:
    """ocicni#74: CHECK failed for it from then on; ours compares what the container's traffic depends on."""
    chain, one = bridged(host, "10.1.0.0/24"), box(host, "box")
    veth = chain.add(one)["interfaces"][1]["name"]
    host.run(["ip", "link", "set", veth, "address", "02:00:00:00:00:99"])
    chain.check(one)


def test_pain_21_del_takes_the_pair_away_whatever_its_mac_is_by_now(host: PrivateHost) -> None:
    """plugins#808: nor does DEL depend on it, where ADD has left its record."""
    chain, one = bridged(host, "10.1.0.0/24"), box(host, "box")
    veth = chain.add(one)["interfaces"][1]["name"]
    host.run(["ip", "link", "set", veth, "address", "02:00:00:00:00:99"])
    chain.delete(one, forget=True)
    assert set(host.links("box")) == {"lo"}


GUARDED: JsonObject = {"type": "bridge", "bridge": "br0", "macspoofchk": True}


def test_pain_22_macspoofchk_runs_no_nft_and_leaves_a_large_ruleset_alone(host: PrivateHost) -> None:
    """plugins#639, #852, #873: the program nft took minutes where there were many rules; ours runs no program at all."""
    elements = ", ".join(f"10.{each // 250}.{each % 250}.1" for each in range(5_000))
    commands = (
        "add table ip large",
        "add set ip large everybody { type ipv4_addr; }",
        f"add element ip large everybody {{ {elements} }}",
    )
    host.run(["nft", "-f", "-"], input="\n".join(commands))
    nowhere = {"PATH": "/nowhere", "LINKSPAN_STANDALONE": "alone"}
    chain, one = bridged(host, "10.1.0.0/24", env=nowhere, macspoofchk=True), box(host, "box")
    chain.add(one)
    chain.check(one)
    host.run(["ip", "link", "set", "eth0", "address", "02:00:00:00:00:99"], netns="box")
    assert not pinged(host, "box", "10.1.0.1")
    chain.delete(one)
    assert "netdev" not in host.run(["nft", "list", "ruleset"]).stdout


@pytest.mark.parametrize("verb", ["ADD", "DEL"])
def test_pain_22_macspoofchk_asks_as_much_with_fifty_containers_and_lists_nothing(verb: str) -> None:
    """plugins#880, #902: it listed everybody's rules to find its own. On a host in memory, which counts what it is asked."""
    asked = []
    for others in (1, 50):
        desk = Desk()
        for number in range(others):
            desk.host.add_netns(f"/run/netns/{number}")
            desk.call("ADD", GUARDED, container_id=f"other{number}", netns=f"/run/netns/{number}")
        if verb == "DEL":
            desk.call("ADD", GUARDED)
        desk.host.requests.clear()
        assert desk.call(verb, GUARDED).status == 0
        asked.append([name for name, _ in desk.host.requests])
    assert asked[0] == asked[1]
    assert not {"nftables.chain", "nftables.elements"}.intersection(asked[0])


class Wire(Netlink):
    """Netlink without a kernel, for dumps: of each, the links and whether the kernel says that it was interrupted."""

    def __init__(self, *dumps: tuple[list[int], bool]) -> None:
        super().__init__(NETLINK_ROUTE)
        self.dumps = list(dumps)
        self.asked = 0
        self._answers: list[bytes] = []

    def send(self, datagram: bytes) -> None:
        sequence = struct.unpack_from("=IHHI", datagram)[3]
        links, interrupted = self.dumps[min(self.asked, len(self.dumps) - 1)]
        self.asked += 1
        flags = 0x2 | (0x10 if interrupted else 0)  # NLM_F_MULTI, NLM_F_DUMP_INTR
        told = [(16, struct.pack("=BxHiII", 0, 0, index, 0, 0)) for index in links]  # RTM_NEWLINK
        self._answers = [
            struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body
            for kind, body in (*told, (3, bytes(4)))  # NLMSG_DONE
        ]

    def receive(self) -> bytes:
        return self._answers.pop(0)

    def links(self) -> list[int]:
        """The indexes of the links that a dump lists."""
        return [read_link(each).index for each in self.dump(get_links())]


def test_pain_23_an_interrupted_dump_is_asked_for_again() -> None:
    """plugins#1121, #1178: half a dump was taken for the whole, or failed ADD; ours asks again. No kernel interrupts on demand: a fake wire."""
    wire = Wire(([1], True), ([1, 2], True), ([1, 2, 3], False))
    assert (wire.links(), wire.asked) == ([1, 2, 3], 3)


def test_pain_23_a_dump_that_is_always_interrupted_is_an_error() -> None:
    """plugins#1178: and never half an answer."""
    with pytest.raises(NetlinkError) as refused:
        Wire(([1], True)).links()
    assert refused.value.errno == errno.EAGAIN


def test_pain_23_attaching_and_detaching_list_no_links_of_the_host() -> None:
    """plugins#1121: where links come and go all the time, nothing depends on a list of them. On a host in memory, which counts."""
    desk = Desk()
    config = {
        "type": "bridge",
        "bridge": "br0",
        "isDefaultGateway": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.5.0.0/24"}], [{"subnet": "fd00:5::/64"}]]},
    }
    desk.call("ADD", config, container_id="first")
    desk.call("DEL", config, container_id="first")
    desk.host.requests.clear()
    for verb in ("ADD", "CHECK", "DEL"):
        assert desk.call(verb, config).status == 0
    assert "links.all" not in {name for name, _ in desk.host.requests}


@pytest.mark.parametrize("env", [ours.STANDALONE, ours.RESIDENT], ids=["standalone", "resident"])
def test_pain_24_del_by_a_recycled_path_takes_nothing_from_the_host(
    host: PrivateHost, env: Mapping[str, str]
) -> None:
    """plugins#714, #715: /proc/PID/ns/net led to the host by then, and DEL worked there; ours sees whose it is and takes back the rest."""
    chain = whole(host, env)
    host.run(["ip", "link", "set", "eth0", "mtu", "1480"])  # the host has an eth0, too
    before = settled(chain, host)
    one = box(host, "box", published(8080))
    chain.add(one)  # its eth0 had 1500 before tuning, which DEL remembers
    chain.delete(replace(one, netns=f"/proc/{host.pid}/ns/net"), chain.result(one))
    assert seen(host).diff(before) == []


def test_pain_24_loopback_leaves_the_host_s_lo_up(host: PrivateHost) -> None:
    """plugins#714: the host's loopback went down with a container."""
    listed = {"cniVersion": "1.1.0", "name": "lo", "plugins": [{"type": "loopback"}]}
    chain = Chain(listed, ours.BIN, host=host, env=ours.STANDALONE)
    chain.delete(Attachment("box", f"/proc/{host.pid}/ns/net", "lo"), forget=True)
    assert "UP" in host.links()["lo"]["flags"]


@pytest.mark.parametrize("plugin", ["bridge", "portmap", "firewall", "tuning", "dns", "loopback"])
def test_pain_24_add_refuses_the_host_s_own_namespace_before_it_acts(host: PrivateHost, plugin: str) -> None:
    """plugins#715: the reference looks at whose namespace it was when all is done; ours looks first."""
    chain = whole(host)
    chain.plugins = [each for each in (*chain.plugins, {"type": "loopback"}) if each["type"] == plugin]
    before = seen(host)
    own = Attachment("box", f"/proc/{host.pid}/ns/net")
    with pytest.raises(ChainError, match="should not be the same") as refused:
        chain.call(plugin, "ADD", chain.config(chain.plugins[0], own, {"cniVersion": "1.1.0"}), own)
    assert refused.value.error["code"] == 8
    assert seen(host).diff(before) == []


# --- 25: VLANs, small networks, rules that pile up ------------------------------------------------------------------


def test_pain_25_vlan_1_does_not_leak_into_the_port_of_another_vlan() -> None:
    """plugins#667, #863, #939: every port was in VLAN 1 as well. On a host in memory: not every kernel's bridges know VLANs."""
    desk = Desk()
    desk.call("ADD", {"type": "bridge", "bridge": "br0", "vlan": 100})
    port = Identity("net", "c1", "eth0").host_veth
    vlans = desk.host.namespace("/proc/self/ns/net").vlans(port)
    assert vlans == (PortVlans(100, 100, untagged=True),)


@pytest.mark.parametrize(
    ("subnet", "given"),
    [
        ("10.1.0.0/31", ["10.1.0.0"]),
        ("10.1.0.7/32", ["10.1.0.7"]),
        ("fd00::/127", ["fd00::"]),
        ("fd00::7/128", ["fd00::7"]),
    ],
)
def test_pain_25_networks_of_one_and_two_addresses_can_be_used(
    host: PrivateHost, subnet: str, given: list[str]
) -> None:
    """plugins#908, cni#215: `too small to allocate from`; ours hands out all but the gateway (RFC 3021, RFC 6164)."""
    assert addresses(pool(host, [ours.BIN], subnet, env=ours.STANDALONE).add(container("a"))) == given


@pytest.mark.parametrize(("subnet", "gateway"), [("10.1.0.0/31", "10.1.0.1"), ("fd00::/127", "fd00::1")])
def test_pain_25_a_container_reaches_the_gateway_of_a_network_of_two(
    host: PrivateHost, subnet: str, gateway: str
) -> None:
    """plugins#908: a network of two addresses is one for a container and one for its gateway."""
    chain, one = bridged(host, subnet), box(host, "box")
    chain.add(one)
    assert pinged(host, "box", gateway)
    chain.check(one)


def test_pain_25_masquerading_costs_a_network_its_rules_once(host: PrivateHost) -> None:
    """plugins#771, #965: three rules for every container, passed one by one; ours has elements, and rules for the subnet only."""
    chain = bridged(host, "10.1.0.0/24", ipMasq=True, ipMasqBackend="nftables")
    counts = []
    for number in range(4):
        chain.add(box(host, f"box{number}"))
        table = host.run(["nft", "-j", "list", "table", "inet", "linkspan"]).stdout
        counts.append(table.count('"rule":'))
    assert counts == [counts[0]] * 4
