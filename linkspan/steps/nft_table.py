"""Our nftables table on the host: creating and repairing it, its check, and the removal of an attachment's
elements.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from linkspan.call.transaction import Undo, attempt, keep
from linkspan.netfilter.nft_table import (
    MARKER,
    RULES,
    SKELETON,
    RegularChain,
    chain_with,
    dns_elements,
    owned,
    without_chain,
)
from linkspan.netfilter.nft_text import TABLE, same
from linkspan.netfilter.rules import Element, NftChange

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True)
class ApplyNftables:
    """Change our table, which is created or repaired before, with these chains, in the same transaction.

    The undo removes the elements that are the attachment's; what is shared has none.
    """

    change: NftChange
    chains: tuple[RegularChain, ...] = ()
    attachment: Attachment | None = None

    def do(self, host: Host) -> Undo:
        commands = (*preparation(host, self.chains), *self.change.commands)
        apply = partial(host.nftables.apply, replace(self.change, commands=commands))
        if self.attachment is not None:
            return attempt(host, apply, partial(remove, host, self.change.add, self.attachment))
        apply()
        return keep


def preparation(host: Host, chains: Iterable[RegularChain] = ()) -> tuple[str, ...]:
    """The commands that make the skeleton and these regular chains complete: usually none."""
    skeleton = SKELETON if missing_rules(host) else ()
    lost = ((name, rules) for name, rules in chains if skeleton or host.nftables.count(name) != len(rules))
    return (*skeleton, *(command for name, rules in lost for command in chain_with(name, rules)))


def exempt_dns(host: Host, addresses: Iterable[str]) -> None:
    """Keep port 53 of our name server's addresses from being translated, if nftables is usable."""
    expected = dns_elements(addresses)
    if missing_elements(host, expected) and host.nftables.usable():
        ApplyNftables(NftChange(add=expected)).do(host)


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


def missing_elements(host: Host, expected: Iterable[Element]) -> list[str]:
    """Which elements are missing, or differ, as sentences."""
    found = []
    for each in expected:
        present = host.nftables.element(each.name, each.key)
        what = f"{' '.join(each.key)} in the nftables set {each.name}"
        if present is None:
            found.append(f"{what} is missing")
        elif present.value != each.value:
            found.append(f"{what} leads to {present.value}, not {each.value}")
        elif not same(present, each):
            found.append(f"{what} belongs to {present.comment or 'an unknown attachment'}")
    return found


def remove(host: Host, candidates: Iterable[Element], attachment: Attachment | None = None) -> None:
    """Remove those candidates that are in the table and, if it is given, are the attachment's."""
    present = [(each, host.nftables.element(each.name, each.key)) for each in candidates]
    removed = tuple(
        (each.name, each.key)
        for each, found in present
        if found is not None and (attachment is None or owned(found, attachment))
    )
    if removed:
        host.nftables.apply(NftChange(remove=removed))


def remove_chains(host: Host, names: Iterable[str]) -> None:
    """Remove those of these regular chains that exist; nothing may jump to them any more."""
    present = (each for each in names if host.nftables.count(each))
    commands = tuple(command for each in present for command in without_chain(each))
    if commands:
        host.nftables.apply(NftChange(commands=commands))


def elements_of(host: Host, attachment: Attachment, names: Iterable[str]) -> tuple[Element, ...]:
    """An attachment's elements in these sets and maps, found by their comments. Empty without nftables.

    The cost grows with the number of elements.
    """
    if not host.nftables.usable():
        return ()
    return tuple(each for name in names for each in host.nftables.elements(name) if owned(each, attachment))
