"""The MAC filter (`macspoofchk`)."""

from __future__ import annotations

from cni_bridge.rules_nftables import CHAIN
from linkspan.netfilter.nft_table import port_table
from tests.harness.bridge import GUARDED, ONE
from tests.harness.memory import Desk


def guard(desk: Desk) -> tuple[str, ...]:
    return desk.host.nftables.chain(CHAIN, port_table(ONE)) or ()


def test_only_frames_with_the_container_s_mac_address_pass(desk: Desk) -> None:
    result = desk.call("ADD", GUARDED).document
    assert guard(desk) == (f"ether saddr != {result['interfaces'][2]['mac']} drop",)


def test_del_removes_the_filter_after_the_configuration_was_edited(desk: Desk) -> None:
    desk.call("ADD", GUARDED)
    assert desk.call("DEL", {"type": "bridge", "bridge": "br0"}).status == 0
    assert desk.host.nftables.chain(CHAIN, port_table(ONE)) is None


def test_two_containers_have_a_filter_each(desk: Desk) -> None:
    desk.host.add_netns("/run/netns/two")
    desk.call("ADD", GUARDED)
    desk.call("ADD", GUARDED, container_id="c2", netns="/run/netns/two")
    desk.call("DEL", GUARDED, container_id="c2", netns="/run/netns/two")
    assert len(guard(desk)) == 1
