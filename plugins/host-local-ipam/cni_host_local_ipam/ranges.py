"""Ranges of addresses: what may be handed out and in which order. Pure.

A range's bounds may be written down as the network or the broadcast address (podman writes rangeEnd so); those are accepted and never
handed out. Two-address and one-address networks have neither (RFC 3021, RFC 6164) and are used whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from linkspan.cni.errors import InvalidConfig

Ip = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_CIDR = re.compile(r"[0-9A-Fa-f.:]+/[0-9]{1,3}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The addresses `first` to `last` (both handed out) of a network. `gateway` is None for a one-address network."""

    subnet: Network
    first: Ip
    last: Ip
    gateway: Ip | None

    def __contains__(self, ip: Ip) -> bool:
        return ip.version == self.subnet.version and int(self.first) <= int(ip) <= int(self.last)

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def overlaps(self, other: Range) -> bool:
        """Whether some address is in both."""
        return other.first in self or other.last in self or self.first in other


@dataclass(frozen=True, slots=True)
class RangeSet:
    """Ranges of one family, of which a container gets one address; `gateways` are never handed out."""

    ranges: tuple[Range, ...]
    gateways: frozenset[Ip] = frozenset()

    def __contains__(self, ip: Ip) -> bool:
        return any(ip in each for each in self.ranges)

    def __str__(self) -> str:
        return ",".join(str(each) for each in self.ranges)

    @property
    def family(self) -> int:
        """4 or 6."""
        return self.ranges[0].subnet.version

    @property
    def size(self) -> int:
        """How many addresses can be handed out."""
        whole = sum(int(each.last) - int(each.first) + 1 for each in self.ranges)
        return whole - sum(gateway in self for gateway in self.gateways)

    def range_of(self, ip: Ip) -> Range:
        """The range an address of this set lies in."""
        return next(each for each in self.ranges if ip in each)

    def candidates(self, after: Ip | None) -> Iterator[Ip]:
        """Every address that can be handed out, once, beginning after `after` if that is one of ours."""
        for first, last in self._spans(after):
            for number in range(first, last + 1):
                ip = IPv4Address(number) if self.family == 4 else IPv6Address(number)
                if ip not in self.gateways:
                    yield ip

    def _spans(self, after: Ip | None) -> list[tuple[int, int]]:
        spans = [(int(each.first), int(each.last)) for each in self.ranges]
        if after is None or after not in self:
            return spans
        home = self.ranges.index(self.range_of(after))
        first, last = spans[home]
        return [(int(after) + 1, last), *spans[home + 1 :], *spans[:home], (first, int(after))]


def read_sets(found: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> tuple[RangeSet, ...]:
    """Range sets from (JSON path, list of ranges) pairs. Raises InvalidConfig for what the whole may not be."""
    sets = [_read_set(number, path, ranges) for number, (path, ranges) in enumerate(found)]
    for number, one in enumerate(sets):
        for earlier, other in enumerate(sets[:number]):
            if any(a.overlaps(b) for a in one for b in other):
                raise InvalidConfig(
                    f"{found[number][0]}: range set {earlier} overlaps with {number}",
                    "give each range set addresses of its own",
                )
    gateways = frozenset(each.gateway for one in sets for each in one if each.gateway is not None)
    return tuple(
        _with_addresses(found[number][0], RangeSet(one, gateways)) for number, one in enumerate(sets)
    )


def _read_set(number: int, path: str, ranges: Sequence[Mapping[str, Any]]) -> tuple[Range, ...]:
    if not ranges:
        raise InvalidConfig(
            f"{path}: invalid range set {number}: empty range set", "remove it or put a range into it"
        )
    several = path if path == "$.ipam" else ""
    read = tuple(read_range(several or f"{path}[{i}]", each) for i, each in enumerate(ranges))
    if len({each.subnet.version for each in read}) > 1:
        raise InvalidConfig(
            f"{path}: invalid range set {number}: mixed address families", "give each family a set of its own"
        )
    for i, one in enumerate(read):
        for other in read[:i]:
            if one.overlaps(other):
                raise InvalidConfig(
                    f"{path}: invalid range set {number}: subnets {other} and {one} overlap",
                    "give each range addresses of its own",
                )
    return read


def _with_addresses(path: str, one: RangeSet) -> RangeSet:
    if one.size < 1:
        raise InvalidConfig(
            f"{path}: no address to hand out in {one}", "the gateway takes the only one: widen it"
        )
    return one


def read_range(path: str, value: Mapping[str, Any]) -> Range:
    """A range from its JSON object; `path` is where it stands. Raises InvalidConfig."""
    subnet = _subnet(f"{path}.subnet", value.get("subnet"))
    lowest, highest = _usable(subnet)
    start = _bound(f"{path}.rangeStart", "RangeStart", value, "rangeStart", subnet) or lowest
    end = _bound(f"{path}.rangeEnd", "RangeEnd", value, "rangeEnd", subnet) or highest
    first, last = max(int(start), int(lowest)), min(int(end), int(highest))
    if int(start) > int(end) or first > last:
        raise InvalidConfig(
            f"{path}: no address between RangeStart {start} and RangeEnd {end} in network {subnet}",
            "rangeStart comes before rangeEnd; network and broadcast addresses are never handed out",
        )
    kind = type(subnet.network_address)
    return Range(subnet=subnet, first=kind(first), last=kind(last), gateway=_gateway(path, value, subnet))


def _subnet(path: str, text: Any) -> Network:
    ip, length = parse_cidr(path, text)
    subnet = ip_network(f"{ip}/{length}", strict=False)
    if subnet.network_address != ip:
        raise InvalidConfig(
            f"{path}: Network has host bits set. "
            f"For a subnet mask of length {length} the network address is {subnet.network_address}",
            f"write {subnet}",
        )
    return subnet


def _usable(subnet: Network) -> tuple[Ip, Ip]:
    """The lowest and highest address a container can have: not the network (RFC 4291 2.6.1 for IPv6), not the broadcast."""
    lowest, highest = subnet.network_address, subnet.broadcast_address
    if subnet.num_addresses <= 2:
        return lowest, highest
    return lowest + 1, highest - 1 if subnet.version == 4 else highest


def _bound(path: str, label: str, value: Mapping[str, Any], key: str, subnet: Network) -> Ip | None:
    if value.get(key) in (None, ""):
        return None
    ip = parse_ip(path, value[key])
    if ip not in subnet:
        raise InvalidConfig(
            f"{path}: {label} {ip} not in network {subnet}", f"give an address inside {subnet}"
        )
    return ip


def _gateway(path: str, value: Mapping[str, Any], subnet: Network) -> Ip | None:
    given = _bound(f"{path}.gateway", "gateway", value, "gateway", subnet)
    if given is not None or subnet.num_addresses == 1:
        return given
    return subnet.network_address + 1


def parse_ip(path: str, text: Any) -> Ip:
    """An address from its text, an IPv4 one written as IPv6 (RFC 4291, 2.5.5.2) as IPv4. Raises InvalidConfig."""
    try:
        if not isinstance(text, str) or "%" in text:
            raise ValueError
        ip = ip_address(text)
    except ValueError:
        raise InvalidConfig(
            f"{path}: {str(text)[:50]!r} is not an IP address", "for example 10.1.0.7"
        ) from None
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped or ip


def parse_cidr(path: str, text: Any) -> tuple[Ip, int]:
    """(address, prefix length) from CIDR text; host bits may be set. Raises InvalidConfig."""
    if not isinstance(text, str) or not _CIDR.fullmatch(text):
        raise InvalidConfig(f"{path}: {str(text)[:50]!r} is not in CIDR form", "for example 10.1.0.0/24")
    address, _, length = text.partition("/")
    try:
        ip = ip_address(address)
    except ValueError:
        raise InvalidConfig(f"{path}: {text[:50]!r} is not in CIDR form", "for example 10.1.0.0/24") from None
    if int(length) > ip.max_prefixlen:
        raise InvalidConfig(f"{path}: {text!r} has a prefix longer than {ip.max_prefixlen}", "shorten it")
    return ip, int(length)


def address_or_none(text: str) -> Ip | None:
    """The address whose canonical text this is, or None for any other text."""
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    return ip if str(ip) == text else None
