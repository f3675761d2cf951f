"""Masquerading of what a container sends beyond its subnet (bridge's `ipMasq`), in both back ends.

iptables has the reference's shape, which nerdctl scrubs by name: a chain `CNI-` and 24 hex digits for each attachment, jumped to
from POSTROUTING. nftables has an element for each container address and a chain for each subnet.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha512
from typing import TYPE_CHECKING

from linkspan.call.transaction import Undo, best_effort, carry_out
from linkspan.netfilter import nft_table
from linkspan.netfilter.backend import Backend
from linkspan.netfilter.nft_table import FAMILIES, MULTICAST
from linkspan.netfilter.rules import NFT_FAMILY, Change, Element, Family, Jump, Match, NftChange, Rule

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host

_FIRST_IFNAME = "eth0"


@dataclass(frozen=True, slots=True)
class Masquerade:
    """Masquerade these addresses (CIDR) of an attachment, as a step of a plan."""

    attachment: Attachment
    addresses: tuple[str, ...]
    backend: Backend

    def do(self, host: Host) -> Undo:
        apply(host, self.backend, self.attachment, self.addresses)
        return lambda: remove(host, self.attachment, self.addresses, backend=self.backend)


def apply(host: Host, backend: Backend, attachment: Attachment, addresses: Sequence[str]) -> None:
    """Masquerade what `addresses` (CIDR) send outside their subnets, but not multicast. Repeating it changes nothing."""
    if backend == "nftables":
        commands = nft_table.preparation(host, _subnet_chains(addresses))
        added = tuple(_element(attachment, each) for each in addresses)
        host.nftables.apply(NftChange(commands=commands, add=added))
        return
    carry_out((_OneFamily(attachment, *each) for each in by_family(addresses)), host)


@dataclass(frozen=True, slots=True)
class _OneFamily:
    """An attachment's chain in the nat table of one family."""

    attachment: Attachment
    family: Family
    addresses: tuple[str, ...]

    def do(self, host: Host) -> Undo:
        host.iptables.apply(self.family, "nat", iptables_change(self.attachment, self.addresses))
        gone = Change(remove_chains=(chain_name(self.attachment),))
        return lambda: host.iptables.apply(self.family, "nat", gone)


def remove(
    host: Host,
    attachment: Attachment,
    addresses: Sequence[str] | None = None,
    *,
    backend: Backend | None = None,
) -> None:
    """Take an attachment's masquerading back, from both back ends unless told which.

    Without `addresses` its elements are found by their comments, which means reading them all. Absent things are fine.
    """
    actions: list[Undo] = []
    if backend != "iptables":
        actions.append(lambda: _remove_elements(host, attachment, addresses))
    if backend != "nftables":
        families = FAMILIES if addresses is None else tuple(family for family, _ in by_family(addresses))
        actions.extend(_chain_removals(host, attachment, families))
    best_effort(*actions)


def missing(host: Host, backend: Backend, attachment: Attachment, addresses: Sequence[str]) -> list[str]:
    """What CHECK misses, as sentences; nothing when all is well, nor without addresses, for which nothing is made."""
    if not addresses:
        return []
    if backend == "nftables":
        return _missing_elements(host, attachment, addresses)
    return [
        sentence
        for family, own in by_family(addresses)
        for sentence in _missing_rules(host, attachment, family, own)
    ]


def chain_name(attachment: Attachment) -> str:
    """The attachment's chain in the nat table: for eth0 the reference's name, which leaves the interface out.

    The reference gives all interfaces of a container on one network the same chain, and deletes it with the first of them.
    """
    words = attachment.network + attachment.container_id
    if attachment.ifname != _FIRST_IFNAME:
        words += "\0" + attachment.ifname
    return f"CNI-{sha512(words.encode()).hexdigest()[:24]}"


def iptables_change(attachment: Attachment, addresses: Sequence[str]) -> Change:
    """The rules for addresses (CIDR) of one family, table nat, in the reference's shape."""
    chain = chain_name(attachment)
    comment = _comment(attachment)
    rules: list[Rule] = []
    for each in addresses:
        interface = ipaddress.ip_interface(each)
        multicast = MULTICAST[interface.version]
        rules.append(Rule(target="ACCEPT", destination=str(interface.network), matches=(comment,)))
        rules.append(Rule(target="MASQUERADE", destination=f"! {multicast}", matches=(comment,)))
    return Change(
        remove_chains=(chain,),
        own=((chain, tuple(rules)),),
        jumps=tuple(Jump(chain="POSTROUTING", rule=rule) for rule in _jumps(attachment, addresses)),
    )


def by_family(addresses: Iterable[str]) -> Iterator[tuple[Family, tuple[str, ...]]]:
    """The addresses (CIDR or bare) of each family that has any."""
    every = tuple(addresses)
    for family in FAMILIES:
        own = tuple(each for each in every if (":" in each) == (family == 6))
        if own:
            yield family, own


def _comment(attachment: Attachment) -> Match:
    text = f'name: "{attachment.network}" id: "{attachment.container_id}"'
    return Match("comment", (("comment", text[:255]),))


def _jumps(attachment: Attachment, addresses: Sequence[str]) -> tuple[Rule, ...]:
    return tuple(
        Rule(target=chain_name(attachment), source=each.partition("/")[0], matches=(_comment(attachment),))
        for each in addresses
    )


def _subnet_chains(addresses: Sequence[str]) -> Iterator[nft_table.RegularChain]:
    for subnet in dict.fromkeys(str(ipaddress.ip_interface(each).network) for each in addresses):
        yield nft_table.subnet_chain("masq", subnet), _subnet_rules(subnet)


def _subnet_rules(subnet: str) -> tuple[str, ...]:
    family: Family = 6 if ":" in subnet else 4
    ip = NFT_FAMILY[family]
    return (f"{ip} daddr {subnet} return", f"{ip} daddr {MULTICAST[family]} return", "masquerade")


def _element(attachment: Attachment, address: str) -> Element:
    interface = ipaddress.ip_interface(address)
    return Element(
        name=f"masquerade{interface.version}",
        key=(str(interface.ip),),
        value=f"goto {nft_table.subnet_chain('masq', str(interface.network))}",
        comment=nft_table.comment(attachment),
    )


def _remove_elements(host: Host, attachment: Attachment, addresses: Sequence[str] | None) -> None:
    if not host.nftables.usable():
        return
    if addresses is None:
        present = [each for family in FAMILIES for each in host.nftables.elements(f"masquerade{family}")]
    else:
        wanted = [_element(attachment, each) for each in addresses]
        present = [each for each in (host.nftables.element(one.name, one.key) for one in wanted) if each]
    mine = tuple((each.name, each.key) for each in present if nft_table.owned(each, attachment))
    if mine:
        host.nftables.apply(NftChange(remove=mine))


def _chain_removals(host: Host, attachment: Attachment, families: Sequence[Family]) -> Iterator[Undo]:
    change = Change(remove_chains=(chain_name(attachment),))
    for family in families:
        if host.iptables.usable(family):
            yield lambda family=family: host.iptables.apply(family, "nat", change)  # type: ignore[misc]


def _missing_elements(host: Host, attachment: Attachment, addresses: Sequence[str]) -> list[str]:
    return [
        *nft_table.damage(host),
        *nft_table.missing_chains(host, _subnet_chains(addresses)),
        *nft_table.missing_elements(host, (_element(attachment, each) for each in addresses)),
    ]


def _missing_rules(host: Host, attachment: Attachment, family: Family, addresses: Sequence[str]) -> list[str]:
    from linkspan.netfilter.iptables_check import absent

    return absent(host.iptables.rules(family, "nat"), iptables_change(attachment, addresses))
