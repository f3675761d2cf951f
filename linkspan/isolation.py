"""What closes an internal network's bridge to all other links, looked at and taken back; `nft_table.isolate` makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkspan import nft_table
from linkspan.iptables_check import absent
from linkspan.rules import Change, NftChange

if TYPE_CHECKING:
    from linkspan.host.contract import Host


def missing(host: Host, bridge: str) -> list[str]:
    """What of a bridge's isolation does not stand, as sentences."""
    if host.nftables.usable():
        elements = nft_table.internal_elements(bridge)
        found = [*nft_table.damage(host), *nft_table.missing_elements(host, elements)]
    else:
        wanted = nft_table.internal_rules(bridge)
        found = [
            sentence
            for family in nft_table.FAMILIES
            if host.iptables.usable(family)
            for sentence in absent(host.iptables.rules(family, "filter"), wanted)
        ]
    return [f"the network of {bridge} is not closed: {each}" for each in found]


def open_up(host: Host, bridge: str) -> None:
    """Let a bridge that was internal forward again. Absent things are fine."""
    if host.nftables.usable():
        present = [
            each for each in nft_table.internal_elements(bridge) if host.nftables.element(each.name, each.key)
        ]
        if present:
            host.nftables.apply(NftChange(remove=tuple((each.name, each.key) for each in present)))
        return
    rules = tuple((jump.chain, jump.rule) for jump in nft_table.internal_rules(bridge).jumps)
    for family in nft_table.FAMILIES:
        if host.iptables.usable(family):
            host.iptables.apply(family, "filter", Change(remove=rules))
