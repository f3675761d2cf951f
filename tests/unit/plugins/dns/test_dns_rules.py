"""DNS queries on a host whose iptables drops what it receives."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from cni_dns.rules_iptables import CHAIN
from cni_dns.steps import accept_queries
from linkspan.call.reload import reload
from linkspan.host.memory import MemoryHost
from tests.harness.memory import Desk
from tests.harness.nameserver import serve_names_of
from tests.unit.plugins.dns.test_dns_verbs import DNS, GATEWAY

ACCEPT = accept_queries("br0", (GATEWAY,))
RULES = tuple(f"-d {GATEWAY}/32 -i br0 -p {each} -m {each} --dport 53 -j ACCEPT" for each in ("udp", "tcp"))


@pytest.fixture
def dropping() -> MemoryHost:
    """A host that drops what it is sent."""
    host = MemoryHost()
    host.iptables.policies[4, "filter", "INPUT"] = "DROP"
    return host


@pytest.fixture
def desk(dropping: MemoryHost) -> Iterator[Desk]:
    made = Desk(dropping)
    with serve_names_of(made.host):
        yield made


def filtered(host: MemoryHost) -> dict[str, list[str]]:
    return host.iptables.tables.get((4, "filter"), {})


def test_a_host_that_lets_everything_in_gets_no_rule() -> None:
    host = MemoryHost()
    ACCEPT.do(host)
    assert (filtered(host), ACCEPT.missing(host)) == ({}, [])


def test_where_the_policy_drops_our_chain_stands_last(dropping: MemoryHost) -> None:
    dropping.iptables.tables[4, "filter"] = {"INPUT": ["-i lo -j ACCEPT"]}
    ACCEPT.do(dropping)
    assert filtered(dropping)["INPUT"] == ["-i lo -j ACCEPT", f"-j {CHAIN}"]
    assert tuple(filtered(dropping)[CHAIN]) == RULES


def test_two_containers_of_a_bridge_share_the_rules(dropping: MemoryHost) -> None:
    for _ in range(2):
        ACCEPT.do(dropping)
    assert tuple(filtered(dropping)[CHAIN]) == RULES


def test_only_the_family_whose_policy_drops_is_seen_to(dropping: MemoryHost) -> None:
    accept_queries("br0", (GATEWAY, "fd00:5::1")).do(dropping)
    assert (6, "filter") not in dropping.iptables.tables


def test_a_table_that_iptables_cannot_change_is_a_warning(dropping: MemoryHost) -> None:
    dropping.refuse["iptables.apply"] = errno.EOPNOTSUPP
    ACCEPT.do(dropping)
    assert any(GATEWAY in each for each in dropping.warnings)


def test_check_says_what_was_flushed_and_reload_brings_it_back(desk: Desk) -> None:
    desk.call("ADD", DNS, container_id="web")
    assert desk.call("CHECK", DNS, container_id="web").status == 0
    desk.host.iptables.tables[4, "filter"]["INPUT"].clear()
    assert (
        desk.call("CHECK", DNS, container_id="web").msg == f"the iptables chain INPUT has no rule: -j {CHAIN}"
    )
    reload(desk.host)
    assert desk.call("CHECK", DNS, container_id="web").status == 0
