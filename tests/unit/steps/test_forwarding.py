"""What our bridges forward passes where the host's policy is to drop, and nothing is added where it is not."""

from __future__ import annotations

import errno

import pytest

from linkspan.host.memory import MemoryHost
from linkspan.netfilter.forwarding import CHAIN
from linkspan.steps.forwarding import accept_forwarding


@pytest.fixture
def dropping() -> MemoryHost:
    """A host whose FORWARD policy is DROP in both families, as Docker sets it."""
    host = MemoryHost()
    for family in (4, 6):
        host.iptables.policies[family, "filter", "FORWARD"] = "DROP"
    return host


def permit(host: MemoryHost, interface: str = "br0") -> None:
    accept_forwarding(interface, (4, 6)).do(host)


def test_a_host_that_forwards_anyway_gets_no_rule() -> None:
    host = MemoryHost()
    before = host.state()
    permit(host)
    assert (host.state(), accept_forwarding("br0", (4, 6)).missing(host)) == (before, [])


def test_where_the_policy_drops_our_chain_stands_last(dropping: MemoryHost) -> None:
    permit(dropping)
    for family in (4, 6):
        rules = dropping.iptables.rules(6 if family == 6 else 4, "filter")
        assert rules["FORWARD"][-1] == f"-j {CHAIN}"
        assert rules[CHAIN] == (
            "-i br0 -j ACCEPT",
            "-o br0 -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT",
        )


def test_what_was_permitted_is_not_missing_and_what_was_flushed_is(dropping: MemoryHost) -> None:
    before = accept_forwarding("br0", (4, 6)).missing(dropping)
    permit(dropping)
    after = accept_forwarding("br0", (4, 6)).missing(dropping)
    assert (before != [], after) == (True, [])


def test_two_bridges_share_the_chain_and_one_jump(dropping: MemoryHost) -> None:
    for bridge in ("br0", "br1", "br0"):
        permit(dropping, bridge)
    rules = dropping.iptables.rules(4, "filter")
    assert (rules["FORWARD"].count(f"-j {CHAIN}"), len(rules[CHAIN])) == (1, 4)


def test_only_the_families_in_use_are_seen_to(dropping: MemoryHost) -> None:
    accept_forwarding("br0", (4,)).do(dropping)
    assert CHAIN not in dropping.iptables.rules(6, "filter")


def test_a_table_that_iptables_cannot_change_is_a_warning_and_no_failure(dropping: MemoryHost) -> None:
    dropping.refuse = {"iptables.apply": errno.EOPNOTSUPP}
    permit(dropping)
    assert len(dropping.warnings) == 1
    assert "br0" in dropping.warnings[0]


def test_without_iptables_there_is_nothing_to_do(dropping: MemoryHost) -> None:
    dropping.iptables.families = ()
    permit(dropping)
    assert accept_forwarding("br0", (4, 6)).missing(dropping) == []
