"""What a container's frames are checked for (`macspoofchk`, `arpspoofchk`), as nft commands. Pure.

A chain is hooked to the ingress of each filtered host end, before anything else there: a frame meets the few
rules that concern it, whatever the number of containers. The family is netdev, because a chain of family inet
sees IP and IPv6 only (net/netfilter/nft_chain_filter.c): with one ARP frame from the MAC address of another
container, a container would take over its traffic.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha512
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from linkspan.cni.addresses import link_local, without_prefix
from linkspan.netfilter.nft_table import port_table

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment


#: The chain in the attachment's own table.
CHAIN = "ingress"

#: The target of a neighbour solicitation or advertisement (RFC 4861, 4.3 and 4.4): 8 octets into the message.
#: nft before 1.0.8 has no name for it.
_TARGET = "@th,64,128"
#: Router solicitation to redirect: a receiver learns the MAC address of the sender of any of them.
_DISCOVERY = "icmpv6 type 133-137"


def mac_rule(mac: str) -> str:
    """The rule that drops frames with a source MAC address other than `mac`."""
    return f"ether saddr != {mac} drop"


def address_rules(mac: str, addresses: Iterable[str]) -> tuple[str, ...]:
    """The rules that drop tagged frames, and ARP and neighbour discovery for addresses of others.

    A container's own are `addresses` (CIDR or bare) and the link-local address of `mac`. It may ask with the
    unspecified address whether one is in use (RFC 5227, RFC 4862), in IPv6 only for its own: whoever detects
    a duplicate would take the question for that of another owner. Tagged frames are dropped because what is
    in them would not be looked at.
    """
    own = {ip_address(without_prefix(each)) for each in addresses} | {link_local(mac)}
    ipv4 = sorted(each for each in own if isinstance(each, IPv4Address))
    ipv6 = sorted(each for each in own if isinstance(each, IPv6Address))
    targets = _set(f"{int(each):#034x}" for each in ipv6)
    return (
        _with_digest("ether type { 8021q, 8021ad } drop"),
        _with_digest(f"arp saddr ip != {_set(map(str, [IPv4Address(0), *ipv4]))} drop"),
        _with_digest(f"icmpv6 type nd-neighbor-advert {_TARGET} != {targets} drop"),
        _with_digest(f"icmpv6 type nd-neighbor-solicit ip6 saddr :: {_TARGET} != {targets} drop"),
        _with_digest(f"{_DISCOVERY} ip6 saddr != {_set(map(str, [IPv6Address(0), *ipv6]))} drop"),
    )


def _set(members: Iterable[str]) -> str:
    return f"{{ {', '.join(members)} }}"


def _with_digest(rule: str) -> str:
    """A rule whose comment identifies it: how nft prints the rest depends on its version."""
    return f'{rule} comment "arpspoofchk {sha512(rule.encode()).hexdigest()[:16]}"'


def is_among(rule: str, printed: Iterable[str]) -> bool:
    """Whether a rule of ours is one of those that nft prints."""
    words = rule[rule.index("comment ") :] if "comment " in rule else rule
    return any(words in each for each in printed)


def commands(attachment: Attachment, rules: Iterable[str]) -> tuple[str, ...]:
    """Create the attachment's table with the chain and its rules, replacing an earlier one."""
    table = port_table(attachment)
    # nft 1.0.6 has no name for this priority in the family netdev: -300 is `raw`.
    hook = f'type filter hook ingress device "{attachment.host_veth}" priority -300; policy accept;'
    return (
        *removal(attachment),
        f"add table {table}",
        f"add chain {table} {CHAIN} {{ {hook} }}",
        *(f"add rule {table} {CHAIN} {each}" for each in rules),
    )


def removal(attachment: Attachment) -> tuple[str, ...]:
    """Delete the attachment's table, which outlives the interface; an absent one is fine."""
    return (f"add table {port_table(attachment)}", f"delete table {port_table(attachment)}")


def chain_of_earlier_builds(attachment: Attachment) -> str:
    """The chain that earlier builds had in the main table instead."""
    return f"spoof_{attachment.key[:16]}"
