"""The one skeleton of our nftables table, `inet linkspan`: its sets, maps, base chains and their rules.

A packet costs the same with one container or ten thousand, because every rule is one lookup and containers
are elements:

    ports{4,6}           protocol . port -> container address . port, published on every address
    ports{4,6}_at        protocol . address . port -> the same, published on one address
    conditional{4,6}     protocol . port -> chain of one container, published under conditions
    conditional{4,6}_at  protocol . address . port -> the same, on one address
    hairpin{4,6}         container address -> chain of its subnet: masquerades published connections
    masquerade{4,6}      container address -> chain of its subnet: masquerades what leaves the subnet
    dns_servers{4,6}     address: its port 53 is never translated, whoever publishes it
    shielded{4,6}        container address: accepts new connections only from our bridges
    inside               bridge: one of "our bridges"
    localnet             bridge: 127.0.0.0/8 is routed out to it, and dropped when it comes from it
    internal             bridge: forwards traffic only between its own ports
    internal_self        bridge . bridge: those ports
    closed               bridge, or its link in a VLAN: only published connections and replies enter
    open                 link . closed link: from the first everything does, as from itself
    fenced               bridge: isolated from other such bridges, except for published ports
    fenced_open          bridge . bridge: isolated, but not its own ports from each other
    relayed{4,6}         protocol . port -> port of the relay: on every loopback address of the host
    relayed4_at          protocol . address . port -> the same, on one loopback address

Sources: nft(8) of nftables 1.0; priorities of include/uapi/linux/netfilter_ipv4.h (dstnat is -100,
srcnat 100, raw -300).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha512

from linkspan.cni.addresses import Family, family_of
from linkspan.cni.model import Attachment
from linkspan.netfilter import relay
from linkspan.netfilter.nft_text import TABLE
from linkspan.netfilter.rules import NFT_FAMILY, Element

MULTICAST = {4: "224.0.0.0/4", 6: "ff00::/8"}

#: A chain that others jump to: its name and its rules.
RegularChain = tuple[str, tuple[str, ...]]

_COMMENT_LIMIT = 128
_PORT = "meta l4proto . th dport"


def _port_at(family: Family) -> str:
    return f"meta l4proto . {NFT_FAMILY[family]} daddr . th dport"


def _declared_for(family: Family) -> tuple[tuple[str, str, str], ...]:
    address = f"ipv{family}_addr"
    wildcard, specific = "inet_proto . inet_service", f"inet_proto . {address} . inet_service"
    return (
        ("map", f"ports{family}", f"{wildcard} : {address} . inet_service"),
        ("map", f"ports{family}_at", f"{specific} : {address} . inet_service"),
        ("map", f"conditional{family}", f"{wildcard} : verdict"),
        ("map", f"conditional{family}_at", f"{specific} : verdict"),
        ("map", f"hairpin{family}", f"{address} : verdict"),
        ("map", f"masquerade{family}", f"{address} : verdict"),
        ("set", f"dns_servers{family}", address),
        ("set", f"shielded{family}", address),
    )


#: (set or map, name, type) of everything that holds elements
DECLARED: tuple[tuple[str, str, str], ...] = (
    *_declared_for(4),
    *_declared_for(6),
    ("set", "localnet", "ifname"),
    ("set", "inside", "ifname"),
    ("set", "internal", "ifname"),
    ("set", "internal_self", "ifname . ifname"),
    ("set", "closed", "ifname"),
    ("set", "open", "ifname . ifname"),
    ("set", "fenced", "ifname"),
    ("set", "fenced_open", "ifname . ifname"),
    *relay.DECLARED,
)

#: base chain -> its hook. Ports are translated before iptables does it (at -100), so that no stale or foreign
#: rule there wins; shielded addresses are matched after connection tracking (-200) and before anything is
#: translated.
HOOKS = {
    "guard_loopback": "type filter hook prerouting priority raw",
    "shield": "type filter hook prerouting priority mangle",
    "prerouting": "type nat hook prerouting priority dstnat - 1",
    "output": "type nat hook output priority -101",
    "postrouting": "type nat hook postrouting priority srcnat + 1",
    "forward": "type filter hook forward priority filter",
}


def _exempt(family: Family) -> str:
    """A connection that is translated to the address it has is not translated again, nor by iptables."""
    ip = NFT_FAMILY[family]
    return f"meta l4proto {{ tcp, udp }} th dport 53 {ip} daddr @dns_servers{family} dnat {ip} to {ip} daddr"


def _published(family: Family) -> tuple[str, ...]:
    ip = NFT_FAMILY[family]
    at = _port_at(family)
    return (
        f"{at} vmap @conditional{family}_at",
        f"meta nfproto ipv{family} {_PORT} vmap @conditional{family}",
        f"dnat {ip} to {at} map @ports{family}_at",
        f"dnat {ip} to {_PORT} map @ports{family}",
    )


#: chain -> its rules, for the base chains and the shared chain they jump to
RULES: dict[str, tuple[str, ...]] = {
    "guard_loopback": ("iifname @localnet ip daddr 127.0.0.0/8 drop",),
    "shield": (
        "ct state established,related return",
        "iifname @inside return",
        "ip daddr @shielded4 drop",
        "ip6 daddr @shielded6 drop",
    ),
    # Only what is for this host is translated (CVE-2025-67499). Loopback addresses are published to the host
    # itself only; ::1 is never translated, since it could not answer.
    "prerouting": (
        _exempt(4),
        _exempt(6),
        "ip daddr 127.0.0.0/8 return",
        "fib daddr type local jump published",
    ),
    "output": (
        _exempt(4),
        _exempt(6),
        *relay.OUTPUT,
        "ip6 daddr ::1 return",
        "fib daddr type local jump published",
    ),
    "published": (*_published(4), *_published(6)),
    "postrouting": (
        "ct status dnat ip daddr vmap @hairpin4",
        "ct status dnat ip6 daddr vmap @hairpin6",
        "ip saddr vmap @masquerade4",
        "ip6 saddr vmap @masquerade6",
    ),
    "closing": (
        "ct state established,related return",
        "ct status dnat return",
        "iifname . oifname @open return",
        "drop",
    ),
    "fence": ("ct status dnat return", "iifname . oifname @fenced_open return", "drop"),
    "forward": (
        "iifname @fenced oifname @fenced jump fence",
        "oifname @closed jump closing",
        "iifname . oifname @internal_self accept",
        "iifname @internal drop",
        "oifname @internal drop",
    ),
}


def _skeleton() -> tuple[str, ...]:
    return (
        f"add table {TABLE}",
        *(f"add {kind} {TABLE} {name} {{ type {of}; }}" for kind, name, of in DECLARED),
        *(f"add chain {TABLE} {name} {{ {hook}; policy accept; }}" for name, hook in HOOKS.items()),
        *(f"add chain {TABLE} {name}" for name in RULES if name not in HOOKS),
        *(command for name, rules in RULES.items() for command in refill(name, rules)),
    )


def refill(chain: str, rules: tuple[str, ...]) -> tuple[str, ...]:
    """Commands after which a chain that exists holds exactly these rules."""
    return (f"flush chain {TABLE} {chain}", *(f"add rule {TABLE} {chain} {rule}" for rule in rules))


def chain_with(chain: str, rules: tuple[str, ...]) -> tuple[str, ...]:
    """Commands that make a regular chain, if need be, and give it exactly these rules."""
    return (f"add chain {TABLE} {chain}", *refill(chain, rules))


def without_chain(chain: str) -> tuple[str, ...]:
    """Commands that remove a regular chain that nothing jumps to; an absent one is fine."""
    return (f"add chain {TABLE} {chain}", f"flush chain {TABLE} {chain}", f"delete chain {TABLE} {chain}")


def port_table(attachment: Attachment) -> str:
    """The attachment's own table, of family netdev, for frames of every kind at its host end."""
    return f"netdev linkspan_{attachment.key[:16]}"


_BODY = _skeleton()
#: The chain whose one rule says that the table has this very skeleton.
MARKER = f"skeleton_{sha512(chr(10).join(_BODY).encode()).hexdigest()[:8]}"
SKELETON: tuple[str, ...] = (*_BODY, *chain_with(MARKER, ("return",)))


def dns_elements(addresses: Iterable[str]) -> tuple[Element, ...]:
    """What keeps port 53 of our name server's addresses from being translated, whoever publishes it."""
    return tuple(
        Element(name=f"dns_servers{family_of(each)}", key=(each,), comment="linkspan name server")
        for each in addresses
    )


def comment(attachment: Attachment) -> str:
    """Whose element this is: 16 hex digits to find it by, then words for people, cut at nft's 128 bytes."""
    words = f"{attachment.key[:16]} {attachment.network} {attachment.container_id} {attachment.ifname}"
    return words[:_COMMENT_LIMIT]


def owned(element: Element | None, attachment: Attachment) -> bool:
    """Whether an element carries this attachment's comment."""
    return element is not None and element.comment.startswith(attachment.key[:16])


def attachment_of(comment_text: str) -> Attachment | None:
    """The attachment that a comment names; None for another comment, and for one that was cut."""
    digits, *words = comment_text.split(" ")
    if len(words) != 3:
        return None
    found = Attachment(*words)
    return found if found.key.startswith(digits) and len(digits) == 16 else None


def subnet_chain(purpose: str, subnet: str) -> str:
    """The name of the chain that serves a subnet: `masq_10.1.0.0_24` as `masq_10_1_0_0_24`."""
    return f"{purpose}_{''.join(each if each.isalnum() else '_' for each in subnet)}"
