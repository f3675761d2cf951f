"""Changes of iptables as steps on a host in memory."""

from __future__ import annotations

import errno

import pytest

from linkspan.cni.errors import CniError
from linkspan.host.memory import MemoryHost, ReplyLost
from linkspan.netfilter.rules import Change, Jump, Rule
from linkspan.steps import iptables
from linkspan.steps.iptables import ApplyIptables

DROP = Rule(target="DROP")
CHANGES = {
    "mangle": Change(own=(("OWN", (DROP,)),)),
    "nat": Change(own=(("OWN", (DROP,)),), jumps=(Jump(chain="PREROUTING", rule=Rule(target="OWN")),)),
}
REMOVALS = {table: Change(remove_chains=("OWN",)) for table in CHANGES}


def test_what_was_applied_is_not_missing_and_what_was_removed_is() -> None:
    host = MemoryHost()
    ApplyIptables(4, CHANGES).do(host)
    assert iptables.missing(host, 4, CHANGES) == []
    assert iptables.missing(host, 6, CHANGES) != []
    iptables.remove(host, {4: REMOVALS})
    assert len(iptables.missing(host, 4, CHANGES)) == 3


def test_an_undone_step_removes_its_rules() -> None:
    host = MemoryHost()
    ApplyIptables(4, CHANGES, REMOVALS).do(host)()
    assert not [line for line in host.state() if "OWN" in line]


def test_shared_rules_stay() -> None:
    host = MemoryHost()
    ApplyIptables(4, CHANGES).do(host)()
    assert iptables.missing(host, 4, CHANGES) == []


def test_a_step_that_fails_although_the_kernel_acted_leaves_nothing() -> None:
    host = MemoryHost(refuse={("iptables.apply_all", 1): ReplyLost(errno.ENOBUFS)})
    with pytest.raises(CniError):
        ApplyIptables(4, CHANGES, REMOVALS).do(host)
    assert not [line for line in host.state() if "OWN" in line]


def test_a_family_without_iptables_needs_no_removal() -> None:
    host = MemoryHost()
    host.iptables.families = (4,)
    iptables.remove(host, {4: REMOVALS, 6: REMOVALS})
    assert list(iptables.usable_families(host)) == [4]


def test_of_a_family_without_removals_nothing_is_asked() -> None:
    host = MemoryHost()
    iptables.remove(host, {4: {}})
    assert host.requests == []


def test_a_family_that_cannot_be_removed_does_not_keep_the_other_from_it() -> None:
    host = MemoryHost()
    for family in (4, 6):
        ApplyIptables(6 if family == 6 else 4, CHANGES).do(host)
    host.revive()
    host.refuse = {("iptables.apply_all", 1): errno.ENOMEM}
    with pytest.raises(CniError):
        iptables.remove(host, {4: REMOVALS, 6: REMOVALS})
    assert iptables.missing(host, 4, CHANGES) == []
    assert len(iptables.missing(host, 6, CHANGES)) == 3
