"""What CHECK of bridge finds, and what it accepts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from linkspan.host.contract import PortVlans
from linkspan.netfilter.nft_table import port_table
from tests.harness.bridge import BACKENDS, GUARDED, ONE, PLAIN, TAGGED, VETH, links, masquerading
from tests.harness.memory import BOX, Desk

Damage = Callable[[Desk], object]


DAMAGES: dict[str, tuple[Damage, str]] = {
    "no bridge": (lambda desk: links(desk).delete("br0"), "bridge br0 is missing"),
    "bridge down": (lambda desk: links(desk).change("br0", up=False), "bridge br0 is down"),
    "no host end": (lambda desk: links(desk).delete(VETH), f"{VETH} is missing"),
    "not a port": (lambda desk: links(desk).change(VETH, master=""), "not a port of br0"),
    "host end down": (lambda desk: links(desk).change(VETH, up=False), f"{VETH} is down"),
    "no gateway": (lambda desk: links(desk).delete_address("br0", "10.5.0.1/24"), "10.5.0.1"),
    "another MAC": (
        lambda desk: desk.host.namespace(BOX).change("eth0", mac="02:00:00:00:00:09"),
        "02:00:00:00:00:09",
    ),
    "no address": (
        lambda desk: desk.host.namespace(BOX).delete_address("eth0", "10.5.0.2/24"),
        "10.5.0.2/24",
    ),
    "no routes": (lambda desk: desk.host.namespace(BOX).change("eth0", up=False), "missing"),
    "no lease": (
        lambda desk: desk.host.files.remove("/var/lib/cni/networks/net/10.5.0.2"),
        "10.5.0.2 is not leased",
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_check_accepts_what_add_created(backend: str) -> None:
    desk = Desk()
    desk.call("ADD", masquerading(backend))
    assert desk.call("CHECK", masquerading(backend)).document == {}


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_check_accepts_masquerading_without_addresses(desk: Desk, backend: str) -> None:
    config = {"type": "bridge", "bridge": "br0", "ipMasq": True, "ipMasqBackend": backend}
    assert desk.call("ADD", config).status == 0
    assert desk.call("CHECK", {**config, "prevResult": desk.result}).status == 0


@pytest.mark.parametrize("damage", DAMAGES)
def test_check_finds_damage(desk: Desk, damage: str) -> None:
    desk.call("ADD", PLAIN)
    spoil, words = DAMAGES[damage]
    spoil(desk)
    answer = desk.call("CHECK", PLAIN)
    assert answer.code == 103
    assert words in answer.msg + answer.document.get("details", "")


def test_check_finds_a_missing_interface(desk: Desk) -> None:
    desk.call("ADD", PLAIN)
    result = desk.result
    desk.host.namespace(BOX).delete("eth0")
    links(desk).create_bridge("other")
    assert desk.call("CHECK", {**PLAIN, "prevResult": result}).code == 103


@pytest.mark.parametrize("backend", BACKENDS)
def test_check_finds_flushed_rules(backend: str) -> None:
    desk = Desk()
    desk.call("ADD", masquerading(backend))
    desk.host.nftables.table = None
    desk.host.iptables.tables.clear()
    assert desk.call("CHECK", masquerading(backend)).code == 103


@pytest.mark.parametrize(
    "trunk",
    [
        [{"id": 30}, {"minID": 200, "maxID": 299}],
        [{"id": 30}, {"id": 31}],
        [{"minID": 30, "maxID": 40}, {"id": 35}],
        [{"minID": 2, "maxID": 4}],
    ],
    ids=str,
)
def test_check_accepts_vlans_however_the_kernel_joins_them(desk: Desk, trunk: list[dict[str, int]]) -> None:
    """However the kernel joins neighbouring VLANs when it lists them."""
    config = {**TAGGED, "vlanTrunk": trunk}
    desk.call("ADD", config)
    assert desk.call("CHECK", config).document == {}


def test_check_accepts_a_vlan_without_addresses(desk: Desk) -> None:
    config = {key: value for key, value in TAGGED.items() if key != "ipam"}
    desk.call("ADD", config)
    assert desk.call("CHECK", config).document == {}


def test_check_finds_a_missing_gateway_link(desk: Desk) -> None:
    desk.call("ADD", TAGGED)
    links(desk).delete("br0.100")
    answer = desk.call("CHECK", TAGGED)
    assert (answer.code, "br0.100 is missing" in answer.msg) == (103, True), answer


@pytest.mark.parametrize("lost", [100, 30, 250])
def test_check_finds_a_missing_vlan(desk: Desk, lost: int) -> None:
    config = {**TAGGED, "vlanTrunk": [{"id": 30}, {"minID": 200, "maxID": 299}]}
    desk.call("ADD", config)
    links(desk).delete_vlans(ONE.host_veth, PortVlans(lost, lost))
    answer = desk.call("CHECK", config)
    assert answer.code == 103
    assert "VLAN" in answer.msg


def test_check_finds_a_flushed_mac_filter(desk: Desk) -> None:
    desk.call("ADD", GUARDED)
    before = desk.call("CHECK", GUARDED)
    del desk.host.nftables.tables[port_table(ONE)]
    assert (before.code, desk.call("CHECK", GUARDED).code) == (0, 103)
