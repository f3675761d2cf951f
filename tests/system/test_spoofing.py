"""What a container with `arpspoofchk` can send: raw frames from a container that has NET_RAW."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.harness import ours
from tests.harness.frames import (
    ADVERTISEMENT,
    REDIRECT,
    ROUTER_ADVERTISEMENT,
    ROUTER_SOLICITATION,
    SOLICITATION,
    arp,
    delivered,
    discovery,
    ethernet,
    tagged,
)
from tests.harness.privatehost import PrivateHost
from tests.harness.world import Box, PluginFailed, World, world_of

pytestmark = pytest.mark.root

CHECKED = {"macspoofchk": True, "arpspoofchk": True}
GATEWAY_V4, GATEWAY_V6 = "10.1.0.1", "fd00:1::1"

#: (backend, br_netfilter, further keys of bridge)
SETTINGS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "nftables, br_netfilter": ("nftables", 1, {}),
    "nftables": ("nftables", 0, {}),
    "iptables, br_netfilter": ("iptables", 1, {}),
    "iptables": ("iptables", 0, {}),
    "hairpin": ("nftables", 1, {"hairpinMode": True}),
    "promiscuous": ("nftables", 1, {"promiscMode": True}),
    "without macspoofchk": ("nftables", 1, {"macspoofchk": False}),
}


@dataclass(frozen=True)
class Scene:
    """An attacker and a victim on one network, both with a filter of their frames."""

    world: World
    attacker: Box
    victim: Box
    keys: dict[str, Any]

    @property
    def mac(self) -> str:
        """The attacker's own MAC address."""
        return str(self.attacker.result["interfaces"][2]["mac"])

    @property
    def link_local(self) -> str:
        """The attacker's own link-local address."""
        return link_local(self.world.host, "attacker")

    def delivered(self, frames: dict[str, bytes], to: str | None = "victim") -> set[str]:
        """Which of these frames the attacker gets through, to the victim or (None) the host."""
        ifname = "eth0" if to else "br-net1"
        return delivered(self.world.host, "attacker", to, frames, ifname=ifname)


def link_local(host: PrivateHost, netns: str) -> str:
    shown = host.run(["ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", "link"], netns=netns)
    return str(shown.stdout.split()[3].partition("/")[0])


@pytest.fixture(params=SETTINGS)
def scene(host: PrivateHost, request: pytest.FixtureRequest) -> Iterator[Scene]:
    backend, nf_call, keys = SETTINGS[request.param]
    with world_of(host, backend=backend, nf_call=nf_call) as world:
        yield made(world, {**CHECKED, **keys})


def made(world: World, keys: dict[str, Any]) -> Scene:
    attacker, victim = (world.box(name, bridge=keys) for name in ("attacker", "victim"))
    return Scene(world, attacker, victim, keys)


def forbidden(scene: Scene) -> dict[str, bytes]:
    """Frames that would take traffic of others, by what they claim."""
    mac, mine, victim = scene.mac, scene.attacker, scene.victim
    others = {
        "gateway": (GATEWAY_V4, GATEWAY_V6),
        "victim": (victim.v4, victim.v6),
        "free": ("10.1.0.99", "fd00:1::99"),
    }
    frames: dict[str, bytes] = {}
    for name, (v4, v6) in others.items():
        frames |= {
            f"gratuitous ARP for the {name}": arp(mac, v4),
            f"gratuitous ARP reply for the {name}": arp(mac, v4, reply=True),
            f"ARP request as the {name}": arp(mac, v4, mine.v4),
            f"ARP reply as the {name}": arp(mac, v4, victim.v4, reply=True),
            f"advertisement of the {name}": discovery(mac, ADVERTISEMENT, mine.v6, v6),
            f"advertisement of the {name}, link-local": discovery(mac, ADVERTISEMENT, scene.link_local, v6),
            f"advertisement of the {name}, hop-by-hop": discovery(
                mac, ADVERTISEMENT, mine.v6, v6, extension=True
            ),
            f"advertisement as the {name}": discovery(mac, ADVERTISEMENT, v6, v6),
            f"solicitation as the {name}": discovery(mac, SOLICITATION, v6, mine.v6),
            f"duplicate detection for the {name}": discovery(mac, SOLICITATION, "::", v6),
            f"router solicitation as the {name}": discovery(mac, ROUTER_SOLICITATION, v6),
        }
    router = link_local(scene.world.host, "victim")
    frames |= {
        "router advertisement as another": discovery(mac, ROUTER_ADVERTISEMENT, router),
        "redirect as another": discovery(mac, REDIRECT, router, mine.v6, destination=victim.v6),
        "advertisement of another's link-local address": discovery(mac, ADVERTISEMENT, mine.v6, router),
        "VLAN": tagged(arp(mac, mine.v4, victim.v4), 7),
        "priority tag": tagged(arp(mac, mine.v4, GATEWAY_V4), 0),
        "802.1ad": tagged(arp(mac, mine.v4, "10.1.0.98"), 7, ethertype=0x88A8),
        "QinQ": tagged(arp(mac, mine.v4, "10.1.0.97"), 7, 8, ethertype=0x88A8),
        "IPv6 in a VLAN": tagged(discovery(mac, ADVERTISEMENT, victim.v6, GATEWAY_V6), 9),
    }
    return frames


def allowed(scene: Scene) -> dict[str, bytes]:
    """What an honest container sends."""
    mac, mine, victim = scene.mac, scene.attacker, scene.victim
    return {
        "ARP probe for a free address": arp(mac, "0.0.0.0", "10.1.0.50"),
        "ARP probe for its own address": arp(mac, "0.0.0.0", mine.v4),
        "announcement": arp(mac, mine.v4),
        "ARP request": arp(mac, mine.v4, "10.1.0.51"),
        "ARP reply": arp(mac, mine.v4, "10.1.0.52", reply=True),
        "duplicate detection": discovery(mac, SOLICITATION, "::", mine.v6),
        "duplicate detection, link-local": discovery(mac, SOLICITATION, "::", scene.link_local),
        "solicitation": discovery(mac, SOLICITATION, mine.v6, "fd00:1::51"),
        "solicitation, link-local": discovery(mac, SOLICITATION, scene.link_local, "fd00:1::52"),
        "advertisement": discovery(mac, ADVERTISEMENT, mine.v6, mine.v6),
        "advertisement, link-local": discovery(mac, ADVERTISEMENT, scene.link_local, scene.link_local),
        "router solicitation": discovery(mac, ROUTER_SOLICITATION, scene.link_local),
        "router solicitation without address": discovery(mac, ROUTER_SOLICITATION, "::"),
        "another protocol": ethernet(mac, 0x88CC, b"LLDP"),
        "an unusual message": discovery(mac, 143, scene.link_local, victim.v6),
    }


def test_no_frame_that_claims_another_s_address_is_delivered(scene: Scene) -> None:
    assert scene.delivered(forbidden(scene)) == set()
    assert scene.delivered(forbidden(scene), to=None) == set()


def test_probes_duplicate_detection_and_own_addresses_are_delivered(scene: Scene) -> None:
    assert scene.delivered(allowed(scene)) == set(allowed(scene))


def test_without_the_key_the_same_frames_are_delivered(host: PrivateHost) -> None:
    with world_of(host) as world:
        scene = made(world, {"macspoofchk": True})
        assert scene.delivered(forbidden(scene)) >= set(forbidden(scene)) - {"VLAN", "priority tag"}


def pings(host: PrivateHost, netns: str, address: str, *options: str) -> bool:
    argv = ["ping", "-c1", "-W1", *options, address]
    return host.run(argv, netns=netns, check=False).returncode == 0


def test_a_container_with_both_keys_reaches_host_and_neighbours(scene: Scene) -> None:
    host, victim = scene.world.host, scene.victim
    addresses = (GATEWAY_V4, GATEWAY_V6, victim.v4, victim.v6, f"{link_local(host, 'victim')}%eth0")
    assert [each for each in addresses if not pings(host, "attacker", each)] == []
    config = scene.world.bridge_config("net1", scene.keys)
    scene.world.call("bridge", "CHECK", scene.attacker, {**config, "prevResult": scene.attacker.result})


def test_duplicate_address_detection_finds_the_owner_of_an_address(host: PrivateHost) -> None:
    """The address is not leased, as that of a container on another host."""
    with world_of(host) as world:
        world.box("one", bridge={**CHECKED, "enabledad": True})
        host.run(["rm", "-r", "/var/lib/cni/networks/net1"])
        with pytest.raises(PluginFailed, match="already in use on this network"):
            world.box("two", bridge={**CHECKED, "enabledad": True})


def test_an_arp_probe_is_answered_by_the_owner_of_the_address(host: PrivateHost) -> None:
    """RFC 5227: so a host that detects conflicts finds the one with our container."""
    with world_of(host) as world:
        scene = made(world, CHECKED)
        program = (
            "import socket, sys\n"
            "with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as sock:\n"
            "    sock.bind(('eth0', 0x0806)); sock.settimeout(3)\n"
            "    sock.send(bytes.fromhex(sys.argv[1]))\n"
            "    while True:\n"
            "        frame = sock.recv(100)\n"
            "        if frame[20:22] == b'\\0\\2': print(socket.inet_ntoa(frame[28:32])); break\n"
        )
        probe = arp(scene.mac, "0.0.0.0", scene.victim.v4).hex()
        answer = host.run([sys.executable, "-ISc", program, probe], netns="attacker").stdout
        assert answer.strip() == scene.victim.v4


def test_a_container_on_two_networks_asks_for_neighbours_with_the_address_of_the_interface(
    host: PrivateHost,
) -> None:
    """A packet from the first network's address leaves through the second: its ARP request must not have that
    address.
    """
    with world_of(host) as world:
        first = world.box("box", bridge=CHECKED)
        second = world.box("box", network="net2", ifname="eth1", netns=first.netns, bridge=CHECKED)
        host.run(["ip", "neigh", "flush", "all"], netns="box")
        assert pings(host, "box", "10.2.0.1", "-I", first.v4)
        assert pings(host, "box", "10.2.0.1", "-I", second.v4)


def test_a_container_with_two_addresses_of_a_network_can_use_both(host: PrivateHost) -> None:
    ranges = [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.7.0.0/24"}], [{"subnet": "fd00:1::/64"}]]
    keys = {**CHECKED, "ipam": {"type": "host-local", "ranges": ranges}}
    with world_of(host) as world:
        boxes = [world.box(name, bridge=keys) for name in ("one", "two")]
        mine, theirs = ([ip["address"].partition("/")[0] for ip in each.result["ips"]] for each in boxes)
        reached = [pings(host, "one", to, "-I", own) for own, to in zip(mine, theirs, strict=True)]
        assert reached == [True, True, True]


@pytest.mark.parametrize("keys", [CHECKED, {"arpspoofchk": True}], ids=["both", "arpspoofchk"])
def test_check_finds_a_flushed_filter_reload_restores_it_and_del_removes_it(
    host: PrivateHost, keys: dict[str, Any]
) -> None:
    with world_of(host) as world:
        scene = made(world, keys)
        checked = {**world.bridge_config("net1", keys), "prevResult": scene.attacker.result}
        world.call("bridge", "CHECK", scene.attacker, checked)
        host.run(["nft", "flush", "ruleset"])
        with pytest.raises(PluginFailed, match="for foreign addresses are not dropped"):
            world.call("bridge", "CHECK", scene.attacker, checked)
        ours.linkspan(host, "reload")
        world.call("bridge", "CHECK", scene.attacker, checked)
        assert scene.delivered({"gateway": arp(scene.mac, GATEWAY_V4)}) == set()
        for box in (scene.attacker, scene.victim):
            world.call("bridge", "DEL", box, world.bridge_config("net1"))
        assert "netdev" not in host.run(["nft", "list", "ruleset"]).stdout
