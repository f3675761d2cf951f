"""Packet rules as data, for both backends. Steps pass them to the host, which makes them system calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from linkspan.cni.addresses import Family

#: What nft calls each family, and its tables.
NFT_FAMILY: Mapping[Family, str] = {4: "ip", 6: "ip6"}


@dataclass(frozen=True, slots=True)
class Match:
    """An iptables extension and its options: Match("multiport", (("destination-ports", "80,81"),)).

    An option's value "" is a bare flag; a name that starts with "! " is negated.
    """

    name: str
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One iptables rule. "" means any; a value that starts with "! " is negated: `source="! 10.1.0.0/24"`."""

    target: str
    target_options: tuple[tuple[str, str], ...] = ()
    source: str = ""
    destination: str = ""
    in_interface: str = ""
    out_interface: str = ""
    protocol: str = ""
    matches: tuple[Match, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """A rule that must be in a chain exactly once. If it is missing it is appended, or inserted first."""

    chain: str
    rule: Rule
    first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one transaction does to one iptables table, in this order.

    * `remove_chains`: chains to delete, after every rule in the table that jumps to them.
    * `remove`: (chain, rule) pairs, of which every copy is deleted.
    * `shared`: chains that must exist; one that does is left as it is.
    * `own`: chains that then hold exactly these rules.
    * `jumps`: rules that must then be there once each; of a chain's `first` ones the last listed is on top.
    """

    remove_chains: tuple[str, ...] = ()
    remove: tuple[tuple[str, Rule], ...] = ()
    shared: tuple[str, ...] = ()
    own: tuple[tuple[str, tuple[Rule, ...]], ...] = ()
    jumps: tuple[Jump, ...] = ()

    @property
    def only_removes(self) -> bool:
        """Whether it creates nothing, so that there is nothing to do where its chains are absent."""
        return not (self.shared or self.own or self.jumps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """An element of a set or map in our nftables table. `key` parts and `value` are as nft writes them.

    `comment` is at most 128 bytes and ends up in the ruleset for a person to read.
    """

    name: str
    key: tuple[str, ...]
    value: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NftChange:
    """One atomic transaction on our table.

    `commands` are nft commands that ensure shared objects (idempotent: `add table`, `add chain`, and for a
    chain's rules `flush chain` with `add rule`). `remove` are (set name, key). `add` replaces elements of
    the same keys.
    """

    commands: tuple[str, ...] = ()
    remove: tuple[tuple[str, tuple[str, ...]], ...] = ()
    add: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Which tracked flows to delete: those that match every field that is set. Port 0 and "" mean any.

    `to_port` and `to_address` are the destination of the original direction; `reply_from` is the source of
    the reply direction: the container that the flow was translated to.
    """

    family: Family
    protocol: str
    to_port: int = 0
    to_address: str = ""
    reply_from: str = ""
