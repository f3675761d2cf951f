"""bridge's VLANs and its guard against foreign MAC addresses, on a host in memory: not every kernel's bridges know VLANs."""

from __future__ import annotations

from typing import Any

import pytest

from cni_bridge.rules_nftables import chain_name
from cni_bridge.verbs import reload
from linkspan.cni.model import Attachment
from linkspan.host.contract import PortVlans
from linkspan.host.memory.links import MemoryLinks
from linkspan.netfilter.forwarding import CHAIN
from tests.harness.memory import Desk

ONE = Attachment("net", "c1", "eth0")
TAGGED: dict[str, Any] = {
    "type": "bridge",
    "bridge": "br0",
    "isGateway": True,
    "vlan": 100,
    "ipam": {"type": "host-local", "subnet": "10.5.0.0/24"},
}
GUARDED: dict[str, Any] = {"type": "bridge", "bridge": "br0", "macspoofchk": True}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def links(desk: Desk) -> MemoryLinks:
    return desk.host.namespace("/proc/self/ns/net")


# --- VLANs -------------------------------------------------------------------------------------------------------


def test_a_container_s_port_is_in_its_vlan_alone_and_without_a_tag(desk: Desk) -> None:
    assert desk.call("ADD", TAGGED).status == 0
    assert links(desk).vlans(ONE.host_veth) == (PortVlans(100, 100, untagged=True),)


def test_the_bridge_filters_vlans(desk: Desk) -> None:
    desk.call("ADD", TAGGED)
    bridge = links(desk).get("br0")
    assert bridge is not None
    assert bridge.vlan_filtering


def test_the_gateway_s_address_is_on_the_bridge_s_link_in_the_vlan(desk: Desk) -> None:
    desk.call("ADD", TAGGED)
    assert (links(desk).addresses("br0"), links(desk).addresses("br0.100")) == ((), ("10.5.0.1/24",))
    assert PortVlans(100, 100) in links(desk).vlans("br0")


def forwarding_from(desk: Desk) -> list[str]:
    """The links whose packets iptables is told to let through."""
    rules = desk.host.iptables.rules(4, "filter").get(CHAIN, ())
    return [str(rule).split()[1] for rule in rules if str(rule).startswith("-i ")]


@pytest.mark.parametrize(
    ("more", "link"),
    [({}, "br0.100"), ({"isGateway": False}, "br0"), ({"ipam": {}}, "br0"), ({"vlan": 0}, "br0")],
)
def test_what_is_let_through_comes_from_the_link_that_forwards_and_reload_says_the_same(
    desk: Desk, more: dict[str, Any], link: str
) -> None:
    desk.host.iptables.policies[4, "filter", "FORWARD"] = "DROP"
    assert desk.call("ADD", {**TAGGED, **more}).status == 0
    assert forwarding_from(desk) == [link]
    desk.host.iptables.tables.clear()
    reload(desk.host)
    assert forwarding_from(desk) == [link]


def test_the_default_vlan_stays_when_asked_for(desk: Desk) -> None:
    desk.call("ADD", {**TAGGED, "preserveDefaultVlan": True})
    untagged = PortVlans(1, 1, untagged=True), PortVlans(100, 100, untagged=True)
    assert links(desk).vlans(ONE.host_veth) == untagged


def test_a_trunk_carries_its_vlans_with_their_tags(desk: Desk) -> None:
    trunk = [{"id": 30}, {"minID": 200, "maxID": 299}]
    assert desk.call("ADD", {"type": "bridge", "bridge": "br0", "vlanTrunk": trunk}).status == 0
    assert links(desk).vlans(ONE.host_veth) == (
        PortVlans(1, 1, untagged=True),
        PortVlans(30, 30),
        PortVlans(200, 299),
    )


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
def test_check_of_what_add_made_is_content(desk: Desk, trunk: list[dict[str, int]]) -> None:
    """However the kernel joins neighbouring VLANs when it lists them."""
    config = {**TAGGED, "vlanTrunk": trunk}
    desk.call("ADD", config)
    assert desk.call("CHECK", config).document == {}


def test_check_of_a_vlan_without_addresses_is_content(desk: Desk) -> None:
    config = {key: value for key, value in TAGGED.items() if key != "ipam"}
    desk.call("ADD", config)
    assert desk.call("CHECK", config).document == {}


def test_check_finds_the_link_of_the_gateway_lost(desk: Desk) -> None:
    desk.call("ADD", TAGGED)
    links(desk).delete("br0.100")
    answer = desk.call("CHECK", TAGGED)
    assert (answer.code, "br0.100 is missing" in answer.msg) == (103, True), answer


@pytest.mark.parametrize("lost", [100, 30, 250])
def test_check_finds_a_vlan_that_is_lost(desk: Desk, lost: int) -> None:
    config = {**TAGGED, "vlanTrunk": [{"id": 30}, {"minID": 200, "maxID": 299}]}
    desk.call("ADD", config)
    links(desk).delete_vlans(ONE.host_veth, PortVlans(lost, lost))
    answer = desk.call("CHECK", config)
    assert answer.code == 103
    assert "VLAN" in answer.msg


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"vlan": 4095}, "$.vlan"),
        ({"vlan": -1}, "$.vlan"),
        ({"vlan": 1.5}, "$.vlan"),
        ({"vlanTrunk": [{"id": 4095}]}, "$.vlanTrunk[0]"),
        ({"vlanTrunk": [{"minID": 9}]}, "$.vlanTrunk[0]"),
        ({"vlanTrunk": [{"id": 5}, {"minID": 9, "maxID": 8}]}, "$.vlanTrunk[1]"),
    ],
    ids=str,
)
def test_vlans_that_cannot_be_are_told_with_their_path(
    desk: Desk, config: dict[str, Any], words: str
) -> None:
    answer = desk.call("ADD", {**TAGGED, **config})
    assert answer.code == 7
    assert words in answer.msg
    assert links(desk).get("br0") is None


def test_a_kernel_without_vlans_is_told_and_no_address_is_kept(desk: Desk) -> None:
    links(desk).knows_vlans = False
    answer = desk.call("ADD", TAGGED)
    assert answer.code == 2
    assert "10.5.0.2" not in desk.host.files.names("/var/lib/cni/networks/net")


def test_a_bridge_that_does_not_filter_is_used_and_told_of(desk: Desk) -> None:
    links(desk).create_bridge("br0")
    assert desk.call("ADD", TAGGED).status == 0
    assert len(desk.host.warnings) == 1
    assert "without VLAN filtering" in desk.host.warnings[0]


def test_two_vlans_of_one_bridge_have_a_gateway_each(desk: Desk) -> None:
    desk.call("ADD", TAGGED)
    other = {**TAGGED, "vlan": 200, "ipam": {"type": "host-local", "subnet": "10.6.0.0/24"}}
    assert desk.beside("other").call("ADD", other, ifname="eth1").status == 0
    assert [links(desk).addresses(each) for each in ("br0.100", "br0.200")] == [
        ("10.5.0.1/24",),
        ("10.6.0.1/24",),
    ]


# --- macspoofchk -------------------------------------------------------------------------------------------------


def guard(desk: Desk) -> tuple[str, ...]:
    return desk.host.nftables.chain(chain_name(ONE)) or ()


def test_only_the_container_s_own_mac_passes(desk: Desk) -> None:
    result = desk.call("ADD", GUARDED).document
    assert guard(desk) == (f"ether saddr != {result['interfaces'][2]['mac']} drop",)


def test_del_takes_the_guard_away_even_from_an_edited_configuration(desk: Desk) -> None:
    desk.call("ADD", GUARDED)
    assert desk.call("DEL", {"type": "bridge", "bridge": "br0"}).status == 0
    assert desk.host.nftables.chain(chain_name(ONE)) is None


def test_check_finds_a_guard_that_is_flushed(desk: Desk) -> None:
    desk.call("ADD", GUARDED)
    before = desk.call("CHECK", GUARDED)
    assert desk.host.nftables.table is not None
    desk.host.nftables.table.chains[chain_name(ONE)].clear()
    assert (before.code, desk.call("CHECK", GUARDED).code) == (0, 103)


def test_two_containers_have_a_guard_each(desk: Desk) -> None:
    desk.host.add_netns("/run/netns/two")
    desk.call("ADD", GUARDED)
    desk.call("ADD", GUARDED, container_id="c2", netns="/run/netns/two")
    desk.call("DEL", GUARDED, container_id="c2", netns="/run/netns/two")
    assert len(guard(desk)) == 1
