"""What the reference published with nftables, and DEL removes: an attachment's own rules, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from cni_portmap.takeover import destination
from tests.harness.memory import Desk

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
