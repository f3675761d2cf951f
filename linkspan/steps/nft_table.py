"""Our nftables table on the host: creating and repairing it, its check, and the removal of an attachment's
elements.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from linkspan.netfilter.nft_table import (
    MARKER,
    RULES,
    SKELETON,
    RegularChain,
    chain_with,
    dns_elements,
    owned,
)
from linkspan.netfilter.nft_text import TABLE, same
from linkspan.netfilter.rules import Element, NftChange

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host


def preparation(host: Host, chains: Iterable[RegularChain] = ()) -> tuple[str, ...]:
    """The commands that make the skeleton and these regular chains complete: usually none."""
    skeleton = SKELETON if missing_rules(host) else ()
    lost = ((name, rules) for name, rules in chains if skeleton or host.nftables.count(name) != len(rules))
    return (*skeleton, *(command for name, rules in lost for command in chain_with(name, rules)))


def ensure(host: Host, elements: Iterable[Element]) -> None:
    """Ensure that shared elements are there, in a complete table. Raises what `Nftables.apply` raises."""
    host.nftables.apply(NftChange(commands=preparation(host), add=tuple(elements)))


def exempt_dns(host: Host, addresses: Iterable[str]) -> None:
    """Keep port 53 of our name server's addresses from being translated, whoever publishes it; nothing
    without nftables.
    """
    wanted = dns_elements(addresses)
    if missing_elements(host, wanted) and host.nftables.usable():
        ensure(host, wanted)


def missing_rules(host: Host) -> list[str]:
    """What of the skeleton is missing, as sentences; the cost does not depend on how many containers there
    are.
    """
    if not host.nftables.count(MARKER):
        return [f"the nftables table {TABLE} is missing or of another version"]
    return [
        f"the chain {name} of the nftables table {TABLE} has missing rules"
        for name, rules in RULES.items()
        if host.nftables.count(name) != len(rules)
    ]


def missing_chains(host: Host, chains: Iterable[RegularChain]) -> list[str]:
    """Which regular chains are missing or incomplete, as sentences."""
    return [
        f"the nftables chain {name} has missing rules"
        for name, rules in chains
        if host.nftables.count(name) != len(rules)
    ]


def missing_elements(host: Host, wanted: Iterable[Element]) -> list[str]:
    """Which elements are missing, or differ, as sentences."""
    found = []
    for each in wanted:
        present = host.nftables.element(each.name, each.key)
        what = f"{' '.join(each.key)} in the nftables set {each.name}"
        if present is None:
            found.append(f"{what} is missing")
        elif present.value != each.value:
            found.append(f"{what} leads to {present.value}, not {each.value}")
        elif not same(present, each):
            found.append(f"{what} belongs to {present.comment or 'an unknown attachment'}")
    return found


def remove(
    host: Host, candidates: Iterable[Element], attachment: Attachment | None = None
) -> tuple[str, ...]:
    """Remove those candidates that are in the table and, if it is given, are the attachment's; the sets they
    were in.
    """
    present = [(each, host.nftables.element(each.name, each.key)) for each in candidates]
    removed = tuple(
        (each.name, each.key)
        for each, found in present
        if found is not None and (attachment is None or owned(found, attachment))
    )
    if removed:
        host.nftables.apply(NftChange(remove=removed))
    return tuple(name for name, _ in removed)


def all_elements(host: Host, names: Iterable[str]) -> tuple[Element, ...]:
    """The elements of these sets and maps; the cost grows with their number. Empty without nftables."""
    if not host.nftables.usable():
        return ()
    return tuple(each for name in names for each in host.nftables.elements(name))
