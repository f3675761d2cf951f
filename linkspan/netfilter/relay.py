"""Redirecting to the relay what local programs send to published ports of loopback addresses. Pure.

The kernel translates such packets to a container only if `route_localnet` is set, which opens 127.0.0.0/8 to
containers, and never those to ::1. So they are redirected in OUTPUT to ports of a process of ours
(linkspan.ports): one TCP port for each family, since a TCP socket tells where its client expected to go, and
one UDP port for each published one, since a UDP socket does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from ipaddress import ip_address
from typing import Any

from linkspan.cni.addresses import Family
from linkspan.netfilter.rules import Element, Flow, Match, Rule

#: What can be relayed.
PROTOCOLS = ("tcp", "udp")
#: The destinations of a port that is published on every loopback address of a family.
LOOPBACK: Mapping[Family, str] = {4: "127.0.0.0/8", 6: "::1"}
#: Where the kernel redirects to in OUTPUT (net/netfilter/nf_nat_redirect.c).
REDIRECTED_TO: Mapping[Family, str] = {4: "127.0.0.1", 6: "::1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayedPort:
    """A port of the host's loopback addresses of one family, and where in a container it leads.

    `host_ip` is "" for every loopback address of the family. The container's address may be of the other
    family. `redirect` is the port that the relay has for it, 0 before there is one.
    """

    family: Family
    protocol: str
    host_ip: str
    host_port: int
    address: str
    container_port: int
    redirect: int = 0

    @property
    def key(self) -> tuple[Family, str, str, int]:
        """What a client sees of it: family, protocol, host address, host port."""
        return (self.family, self.protocol, self.host_ip, self.host_port)

    def redirected(self, port: int) -> RelayedPort:
        """The same with the relay's port."""
        return replace(self, redirect=port)

    def to_json(self) -> dict[str, Any]:
        """As JSON, for messages and records."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RelayedPort:
        """What `to_json` made. Raises ValueError, TypeError, KeyError for anything else."""
        port = cls(**document)
        numbers = (port.host_port, port.container_port, port.redirect)
        whole = all(type(each) is int and 0 <= each <= 65535 for each in numbers)
        known = port.family in LOOPBACK and port.protocol in PROTOCOLS
        if not (whole and known and port.host_port and port.container_port):
            raise ValueError(f"{dict(document)} is not a relayed port")
        ip_address(port.address)
        if port.host_ip and not ip_address(port.host_ip).is_loopback:
            raise ValueError(f"{port.host_ip} is not a loopback address")
        return port


#: The maps of our nftables table, as (kind, name, type), and the rules of its chain in OUTPUT that use them.
DECLARED: tuple[tuple[str, str, str], ...] = (
    ("map", "relayed4", "inet_proto . inet_service : inet_service"),
    ("map", "relayed4_at", "inet_proto . ipv4_addr . inet_service : inet_service"),
    ("map", "relayed6", "inet_proto . inet_service : inet_service"),
)
OUTPUT: tuple[str, ...] = tuple(
    f"{destination} meta l4proto {{ tcp, udp }} redirect to :{key} map @{name}"
    for destination, key, name in (
        ("ip daddr 127.0.0.0/8", "meta l4proto . ip daddr . th dport", "relayed4_at"),
        ("ip daddr 127.0.0.0/8", "meta l4proto . th dport", "relayed4"),
        ("ip6 daddr ::1", "meta l4proto . th dport", "relayed6"),
    )
)


def flows(ports: Iterable[RelayedPort]) -> Iterator[Flow]:
    """The tracked flows that were redirected for these ports: of udp, whose flows never end by themselves."""
    for each in ports:
        if each.protocol == "udp":
            yield Flow(
                family=each.family,
                protocol=each.protocol,
                to_port=each.host_port,
                to_address=each.host_ip,
                reply_from=REDIRECTED_TO[each.family],
            )


def elements(ports: Iterable[RelayedPort], comment: str) -> Iterator[Element]:
    """The elements of our nftables table (maps `relayed*`) that redirect these ports."""
    for each in ports:
        at = bool(each.host_ip) and each.family == 4
        yield Element(
            name=f"relayed{each.family}{'_at' if at else ''}",
            key=(each.protocol, *((each.host_ip,) if at else ()), str(each.host_port)),
            value=str(each.redirect),
            comment=comment,
        )


def iptables_rules(ports: Iterable[RelayedPort]) -> Iterator[Rule]:
    """Rules of the iptables table nat, which belong above those that translate or mark such packets."""
    for each in ports:
        yield Rule(
            target="REDIRECT",
            target_options=(("to-ports", str(each.redirect)),),
            destination=each.host_ip or LOOPBACK[each.family],
            protocol=each.protocol,
            matches=(Match(each.protocol, (("dport", str(each.host_port)),)),),
        )
