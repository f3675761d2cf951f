"""What the reference made with nftables, and ours takes back on DEL: an attachment's own rules, and no other's."""

from __future__ import annotations

from typing import Any

import pytest

from cni_bridge.takeover import REFERENCE_RULES, rules_comment
from cni_portmap.handover import destination
from linkspan.cni.model import Attachment
from tests.harness.memory import Desk

ONE = Attachment("net", "c1", "eth0")
#: As the reference writes them: two networks of one container, and a container whose id only begins alike.
PORTS = {
    ("ip cni_hostport", "hostports"): [
        'tcp dport 8081 dnat to 10.1.0.2:80 comment "c1"',
        'ip daddr 198.51.100.10 udp dport 8082 dnat to 10.1.0.2:81 comment "c1"',
        'tcp dport 8083 dnat to 10.2.0.2:80 comment "c1"',
        'tcp dport 8084 dnat to 10.1.0.2:80 comment "c12"',
    ],
    ("ip cni_hostport", "masquerading"): [
        'ip saddr 127.0.0.1 ip daddr 10.1.0.2 masquerade comment "c1"',
        'ip saddr 10.2.0.2 ip daddr 10.2.0.2 masquerade comment "c1"',
    ],
    ("ip6 cni_hostport", "hostports"): ['tcp dport 8081 dnat to [fd00:1::2]:80 comment "c1"'],
}
PREV_RESULT: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "eth0", "sandbox": "/run/netns/box"}],
    "ips": [{"address": "10.1.0.2/24", "interface": 0}, {"address": "fd00:1::2/64", "interface": 0}],
}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def portmap(**keys: Any) -> dict[str, Any]:
    return {
        "type": "portmap",
        "runtimeConfig": {"portMappings": [{"hostPort": 1, "containerPort": 1}]},
        **keys,
    }


def left(desk: Desk) -> list[str]:
    return [rule for rules in desk.host.nftables.others.values() for rule in rules]


def test_portmap_takes_the_rules_that_lead_to_this_network_s_addresses(desk: Desk) -> None:
    desk.host.nftables.others = {at: list(rules) for at, rules in PORTS.items()}
    assert desk.call("DEL", portmap(prevResult=PREV_RESULT)).status == 0
    assert left(desk) == [
        'tcp dport 8083 dnat to 10.2.0.2:80 comment "c1"',
        'tcp dport 8084 dnat to 10.1.0.2:80 comment "c12"',
        'ip saddr 10.2.0.2 ip daddr 10.2.0.2 masquerade comment "c1"',
    ]


def test_portmap_without_a_previous_result_takes_all_of_the_container_s(desk: Desk) -> None:
    desk.host.nftables.others = {at: list(rules) for at, rules in PORTS.items()}
    assert desk.call("DEL", portmap()).status == 0
    assert left(desk) == ['tcp dport 8084 dnat to 10.1.0.2:80 comment "c12"']


@pytest.mark.parametrize(
    ("rule", "address"),
    [
        ('tcp dport 8081 dnat to 10.1.0.2:80 comment "c1"', "10.1.0.2"),
        ('tcp dport 8081 dnat to [fd00:1::2]:80 comment "c1"', "fd00:1::2"),
        ('ip6 saddr fd00:1::2 ip6 daddr fd00:1::2 masquerade comment "c1"', "fd00:1::2"),
        ('ip saddr 0.0.0.0/0 ip daddr 10.1.0.2 masquerade comment "c1"', "10.1.0.2"),
    ],
)
def test_where_a_rule_leads(rule: str, address: str) -> None:
    assert destination(rule) == address


def masquerading(attachment: Attachment, address: str) -> str:
    words = f"net: {attachment.network}, if: {attachment.ifname}, id: {attachment.container_id}"
    return (
        f'ip saddr {address} ip daddr != 10.1.0.0/24 masquerade comment "{rules_comment(attachment)}{words}"'
    )


def test_the_comment_of_masquerading_begins_as_the_reference_s() -> None:
    assert rules_comment(Attachment("mixed", "c1", "eth0")) == "ba9ce3b1eebaa267-f4d01f2ef4b92245, "


@pytest.mark.parametrize(
    ("keys", "stays"),
    [
        ({"ipMasq": True}, False),
        ({"ipMasq": True, "ipMasqBackend": "nftables"}, False),
        ({"ipMasq": True, "ipMasqBackend": "iptables"}, True),
        ({}, True),
    ],
)
def test_bridge_takes_the_attachment_s_masquerading_where_the_list_may_have_made_some(
    desk: Desk, keys: dict[str, Any], stays: bool
) -> None:
    mine, other = masquerading(ONE, "10.1.0.2"), masquerading(Attachment("net", "c1", "eth1"), "10.1.0.3")
    desk.host.nftables.others = {REFERENCE_RULES: [mine, other]}
    assert desk.call("DEL", {"type": "bridge", "bridge": "br0", **keys}).status == 0
    assert left(desk) == ([mine, other] if stays else [other])
