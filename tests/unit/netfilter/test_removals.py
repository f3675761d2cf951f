"""Each removal takes away what its change made, and nothing else; pure, on the tables of a host in memory."""

from __future__ import annotations

import pytest

from linkspan.cni.model import Attachment
from linkspan.host.memory.netfilter import MemoryIptables
from linkspan.netfilter import closing, forwarding, isolation, masquerade
from linkspan.netfilter.rules import Change

ONE, OTHER = Attachment("net", "c1", "eth0"), Attachment("net", "c2", "eth0")
#: table, what is made for another, what is made for one, what removes the latter
CASES: dict[str, tuple[str, Change, Change, Change]] = {
    "isolation": ("filter", isolation.change("br1"), isolation.change("br0"), isolation.removal("br0")),
    "closing": ("filter", closing.change("br1"), closing.change("br0"), closing.removal("br0")),
    "forwarding": (
        "filter",
        forwarding.change("br1", ("eth0",)),
        forwarding.change("br0", ("eth0",)),
        forwarding.removal("br0"),
    ),
    "masquerade": (
        "nat",
        masquerade.change(OTHER, ("10.1.0.3/24",)),
        masquerade.change(ONE, ("10.1.0.2/24",)),
        masquerade.removal(ONE),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_removal_leaves_what_was_made_for_another(name: str) -> None:
    table, others, own, removal = CASES[name]
    iptables = MemoryIptables()
    iptables.apply(4, table, others)
    before = iptables.rules(4, table)
    iptables.apply(4, table, own)
    between = iptables.rules(4, table)
    iptables.apply(4, table, removal)
    assert (between != before, iptables.rules(4, table)) == (True, before)
