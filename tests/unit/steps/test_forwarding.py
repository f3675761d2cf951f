"""What our bridges forward passes where the host's policy is to drop, and nothing is added where it is not."""

from __future__ import annotations

import errno

import pytest

from linkspan.cni.addresses import FAMILIES
from linkspan.host.memory import MemoryHost
from linkspan.host.memory.device import Device
from linkspan.netfilter.forwarding import CHAIN, ONWARD, UPLINKS
from linkspan.netfilter.rules import Change, Jump, Rule
from linkspan.paths import OWN_NETNS
from linkspan.steps.forwarding import accept_forwarding, replace_rule_of_earlier_versions
from linkspan.steps.uplinks import DIALLED

EXPECTED = "-m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT"


def plug_in(host: MemoryHost, name: str) -> None:
    """A network card."""
    links = host.namespace(OWN_NETNS)
    links.add(Device(links, links.next_index(), name, "", "02:00:00:00:00:01"))


def set_policy(host: MemoryHost, policy: str) -> None:
    for family in FAMILIES:
        host.iptables.policies[family, "filter", "FORWARD"] = policy


@pytest.fixture
def dropping() -> MemoryHost:
    """A host with a network card, whose FORWARD policy is DROP in both families, as Docker sets it."""
    host = MemoryHost()
    plug_in(host, "eth0")
    set_policy(host, "DROP")
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
        assert rules[CHAIN] == (f"-i br0 -j {ONWARD}", f"-o br0 {EXPECTED}")
        assert rules[ONWARD] == (EXPECTED, f"-j {UPLINKS}", "-o br0 -j ACCEPT")
        assert rules[UPLINKS] == tuple(f"-o {each} -j ACCEPT" for each in (*DIALLED, "eth0"))


def test_what_leads_to_somebody_else_s_bridge_is_left_to_the_policy(dropping: MemoryHost) -> None:
    dropping.links().create_bridge("docker0")
    permit(dropping)
    assert not any("docker0" in line for line in dropping.state() if line.startswith("iptables"))


def test_a_bridge_that_is_not_admitted_is_not_reached_and_one_that_is_stays_so(dropping: MemoryHost) -> None:
    accept_forwarding("br1", (4,), admitted=False).do(dropping)
    permit(dropping)
    accept_forwarding("br0", (4,), admitted=False).do(dropping)
    assert accept_forwarding("br0", (4,)).missing(dropping) == []
    assert [each for each in dropping.iptables.rules(4, "filter")[ONWARD] if each.startswith("-o")] == [
        "-o br0 -j ACCEPT"
    ]


def test_a_card_that_is_plugged_in_later_is_missing_until_the_next_time(dropping: MemoryHost) -> None:
    permit(dropping)
    plug_in(dropping, "eth1")
    missing = accept_forwarding("br0", (4,)).missing(dropping)
    permit(dropping)
    assert (missing, accept_forwarding("br0", (4,)).missing(dropping)) == (
        [f"the iptables chain {UPLINKS} has no rule: -o eth1 -j ACCEPT"],
        [],
    )


def test_a_link_that_is_gone_is_not_missing_and_is_removed_the_next_time(dropping: MemoryHost) -> None:
    dropping.links().create_vlan("eth0.7", link="eth0", vlan=7)
    permit(dropping)
    dropping.links().delete("eth0.7")
    missing = accept_forwarding("br0", (4,)).missing(dropping)
    permit(dropping)
    assert missing == []
    assert "-o eth0.7 -j ACCEPT" not in dropping.iptables.rules(4, "filter")[UPLINKS]


def of_an_earlier_version(host: MemoryHost, *interfaces: str) -> None:
    rules = [Jump(chain=CHAIN, rule=Rule(target="ACCEPT", in_interface=each)) for each in interfaces]
    jump = Jump(chain="FORWARD", rule=Rule(target=CHAIN))
    for family in (4, 6):
        host.iptables.apply(family, "filter", Change(shared=(CHAIN,), jumps=(*rules, jump)))


def test_the_rule_of_an_earlier_version_is_replaced_and_another_bridge_s_stays(
    dropping: MemoryHost,
) -> None:
    of_an_earlier_version(dropping, "br0", "br1")
    permit(dropping)
    found = [each for each in dropping.iptables.rules(4, "filter")[CHAIN] if each.startswith("-i")]
    assert found == ["-i br1 -j ACCEPT", f"-i br0 -j {ONWARD}"]


@pytest.mark.parametrize("policy", ["ACCEPT", "DROP"])
def test_a_rule_of_an_earlier_version_is_replaced_whatever_the_policy(
    dropping: MemoryHost, policy: str
) -> None:
    of_an_earlier_version(dropping, "br0")
    set_policy(dropping, policy)
    replace_rule_of_earlier_versions(dropping, "br0")
    set_policy(dropping, "DROP")
    assert not any("-i br0 -j ACCEPT" in line for line in dropping.state())
    assert accept_forwarding("br0", (4, 6)).missing(dropping) == []


def test_without_a_rule_of_an_earlier_version_nothing_is_made(dropping: MemoryHost) -> None:
    before = dropping.state()
    replace_rule_of_earlier_versions(dropping, "br0")
    assert dropping.state() == before


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
