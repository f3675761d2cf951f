"""The filter of a container's frames (`macspoofchk`, `arpspoofchk`)."""

from __future__ import annotations

from typing import Any

import pytest

from cni_bridge.rules_nftables import CHAIN, address_rules
from linkspan.netfilter.nft_table import port_table
from tests.harness.bridge import GUARDED, ONE, PLAIN
from tests.harness.memory import BOX, Desk


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


BOUND = {**PLAIN, "arpspoofchk": True}


def test_arp_and_discovery_are_for_the_addresses_of_ipam_and_the_link_local_one(desk: Desk) -> None:
    desk.call("ADD", BOUND)
    assert guard(desk) == address_rules("02:42:0a:05:00:02", ["10.5.0.2/24", "fd00:5::2/64"])


def test_the_targets_of_advertisements_are_the_addresses_in_hexadecimal() -> None:
    (rule,) = (each for each in address_rules("02:42:0a:05:00:02", ["fd00:5::2/64"]) if "advert" in each)
    assert "0xfd000005000000000000000000000002, 0xfe800000000000000042" + "0afffe050002" in rule


@pytest.mark.parametrize("more", [{}, {"macspoofchk": True}])
def test_del_removes_the_filter_of_arp_after_the_configuration_was_edited(
    desk: Desk, more: dict[str, bool]
) -> None:
    desk.call("ADD", {**BOUND, **more})
    assert desk.call("DEL", PLAIN).status == 0
    assert desk.host.nftables.chain(CHAIN, port_table(ONE)) is None


def test_del_removes_the_chain_that_earlier_builds_had_in_the_main_table(desk: Desk) -> None:
    desk.call("ADD", {**GUARDED, "ipMasq": True, "ipMasqBackend": "nftables"})
    desk.call("ADD", {**PLAIN, "bridge": "br1", "ipMasq": True, "ipMasqBackend": "nftables"}, ifname="eth1")
    assert desk.host.nftables.table is not None
    chain = f"spoof_{ONE.key[:16]}"
    desk.host.nftables.table.chains[chain] = ["ether saddr != 02:00:00:00:00:01 drop"]
    desk.call("DEL", GUARDED)
    assert desk.host.nftables.chain(chain) is None


def test_the_sender_of_arp_requests_is_the_interface_s_own_address(desk: Desk) -> None:
    desk.call("ADD", BOUND)
    assert desk.host.namespace(BOX).sysctl("ipv4/conf/eth0/arp_announce") == "2"


def test_check_finds_that_one_rule_is_missing(desk: Desk) -> None:
    desk.call("ADD", BOUND)
    desk.host.nftables.tables[port_table(ONE)].chains[CHAIN].pop()
    answer = desk.call("CHECK", BOUND)
    assert answer.code == 103
    assert "ARP and neighbour discovery for foreign addresses are not dropped" in str(answer.document)


@pytest.mark.parametrize(
    ("more", "words"),
    [({"ipam": {}}, "not known without ipam"), ({"vlanTrunk": [{"id": 7}]}, "VLAN trunk cannot be checked")],
)
def test_what_cannot_be_checked_is_refused(desk: Desk, more: dict[str, Any], words: str) -> None:
    answer = desk.call("ADD", {**BOUND, **more})
    assert (answer.code, words in str(answer.document)) == (7, True)


def test_without_nftables_the_error_names_the_key_and_the_remedy(desk: Desk) -> None:
    desk.host.nftables.available = False
    answer = desk.call("ADD", {**BOUND, "macspoofchk": True})
    assert answer.code == 106
    assert "or remove macspoofchk and arpspoofchk" in answer.document["details"]
