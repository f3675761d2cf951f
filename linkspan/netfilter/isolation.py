"""An internal network's bridge, closed to all other links: made, looked at and taken back.

A file says that a bridge is closed, so that the ADDs of ordinary networks need not ask the kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkspan import paths
from linkspan.netfilter import nft_table
from linkspan.netfilter.iptables_check import absent
from linkspan.netfilter.rules import Change, NftChange

if TYPE_CHECKING:
    from linkspan.host.contract import Host


def close(host: Host, bridge: str) -> None:
    """Let a bridge forward nothing but between its own ports. Repeating it changes nothing."""
    if host.files.read(_mark(host, bridge)) is None:
        host.files.write(_mark(host, bridge), b"")
    nft_table.isolate(host, bridge)
    for family in ("ipv4", "ipv6"):
        host.links().set_sysctl(f"{family}/conf/{bridge}/forwarding", "0")


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
    """Let a bridge that was internal forward again; one look at a file where it never was."""
    if host.files.read(_mark(host, bridge)) is None:
        return
    _remove_rules(host, bridge)
    links = host.links()
    for family in ("ipv4", "ipv6"):
        value = links.sysctl(f"{family}/conf/all/forwarding")
        if value is not None:
            links.set_sysctl(f"{family}/conf/{bridge}/forwarding", value)
    host.files.remove(_mark(host, bridge))


def _mark(host: Host, bridge: str) -> str:
    return paths.internal_mark(host.state_dir, bridge)


def _remove_rules(host: Host, bridge: str) -> None:
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
