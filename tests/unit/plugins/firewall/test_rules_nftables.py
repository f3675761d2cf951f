"""The elements of an admission in our nftables table."""

from __future__ import annotations

from cni_firewall import rules_iptables, rules_nftables
from cni_firewall.facts import Admission
from linkspan.netfilter.rules import Change


def test_nftables_carries_only_the_fence() -> None:
    admission = Admission(
        backend="nftables", addresses=("10.1.0.2",), bridge="br1", policy="same-bridge", fence="nftables"
    )
    assert rules_iptables.change(admission, 4) == Change()
    assert [(each.name, each.key) for each in rules_nftables.elements(admission)] == [
        ("fenced", ("br1",)),
        ("fenced_open", ("br1", "br1")),
    ]


def test_isolated_takes_the_bridge_off_those_that_are_open_to_themselves() -> None:
    admission = Admission(backend="nftables", addresses=(), bridge="br1", policy="isolated", fence="nftables")
    assert rules_nftables.change(admission).remove == (("fenced_open", ("br1", "br1")),)
