"""Addresses as configurations and results write them.

MAC addresses, and IP addresses with or without a prefix length.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import sha512
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

from linkspan.cni.errors import InvalidConfig, shortened

Family = Literal[4, 6]
FAMILIES: tuple[Family, ...] = (4, 6)
#: The smallest MTU, in bytes, of a link with addresses of a family (RFC 791, RFC 8200 section 5).
LEAST_MTU: Mapping[Family, int] = {4: 68, 6: 1280}
Ip = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Octets of an Ethernet address; Go's net.ParseMAC also takes EUI-64 and IP over InfiniBand.
ETHERNET, ANY_LINK_LAYER = (6,), (6, 8, 20)
_SPELLINGS = re.compile(
    r"[0-9a-f]{2}(:[0-9a-f]{2})+|[0-9a-f]{2}(-[0-9a-f]{2})+|[0-9a-f]{4}(\.[0-9a-f]{4})+", re.IGNORECASE
)
#: Bits in front of an IPv4 address that is written as IPv6 (RFC 4291, 2.5.5.2).
_MAPPED_PREFIX = 96
_CIDR = re.compile(r"([0-9A-Fa-f.:]+)/([0-9]{1,3})", re.ASCII)


def parse_mac(text: str, octets: Collection[int] = ETHERNET) -> str | None:
    """A MAC address in lower case with colons, or None if `text` is not one of an allowed number of octets.

    The spellings are those of Go's net.ParseMAC: 02:42:0a:01:00:02, 02-42-0a-01-00-02 and 0242.0a01.0002.
    """
    if not _SPELLINGS.fullmatch(text):
        return None
    digits = re.sub(r"[:.-]", "", text.lower())
    pairs = [digits[at : at + 2] for at in range(0, len(digits), 2)]
    return ":".join(pairs) if len(pairs) in octets else None


def is_unicast(mac: str) -> bool:
    """Whether an interface can have this Ethernet address, which is in the form of `parse_mac`.

    The kernel's rule: linux/etherdevice.h, is_valid_ether_addr.
    """
    return not int(mac[:2], 16) & 0x01 and mac != "00:00:00:00:00:00"


def local_mac(hex_digits: str) -> str:
    """A locally administered unicast MAC address (IEEE 802: bits 0x02 set, 0x01 clear) from 12 hex digits."""
    first = (int(hex_digits[:2], 16) & 0xFC) | 0x02
    return ":".join((f"{first:02x}", *(hex_digits[i : i + 2] for i in range(2, 12, 2))))


def link_local(mac: str) -> IPv6Address:
    """The link-local address that an interface derives from its MAC address (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    return IPv6Address(
        b"\xfe\x80" + bytes(6) + bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    )


def bridge_mac(name: str) -> str:
    """The MAC address of a bridge that the plugin bridge creates, by which it is known as such."""
    return local_mac(sha512(f"bridge\0{name}".encode()).hexdigest())


def family_of(address: str) -> Family:
    """4 or 6, for an IP address or network with or without a prefix length."""
    return 6 if ":" in address else 4


def without_prefix(address: str) -> str:
    """The IP address of one in CIDR form: "10.1.0.2" for "10.1.0.2/24"."""
    return address.partition("/")[0]


def by_family(addresses: Iterable[str]) -> dict[Family, tuple[str, ...]]:
    """The addresses (CIDR or bare) of each family that has any, IPv4 first."""
    every = tuple(addresses)
    found = {family: tuple(each for each in every if family_of(each) == family) for family in FAMILIES}
    return {family: own for family, own in found.items() if own}


def parse_ip(text: object) -> Ip | None:
    """An IP address without a zone, or None if `text` is not one.

    An IPv4 address written as IPv6 (RFC 4291, 2.5.5.2) is that IPv4 address.
    """
    ip = _ip(text) if isinstance(text, str) and "%" not in text else None
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped or ip


def parse_cidr(text: object) -> tuple[Ip, int] | None:
    """(address, prefix length) from CIDR notation, or None. Neither host bits nor the length are checked."""
    found = _CIDR.fullmatch(text) if isinstance(text, str) else None
    ip = _ip(found[1]) if found else None
    return (ip, int(found[2])) if found and ip is not None else None


def canonical_cidr(text: object) -> str | None:
    """An address with its prefix length in the usual text form, or None if `text` is not one.

    An IPv4 address written as IPv6 is that IPv4 address, as in Go's net.IP.
    """
    found = parse_cidr(text)
    if found is None or found[1] > found[0].max_prefixlen:
        return None
    ip, length = found
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) and length >= _MAPPED_PREFIX else None
    return f"{ip}/{length}" if mapped is None else f"{mapped}/{length - _MAPPED_PREFIX}"


def masked(cidr: str) -> str:
    """The network of an address in CIDR form: the kernel takes no destination of a route with host bits."""
    return str(ip_network(cidr, strict=False))


def host_prefix(ip: str) -> str:
    """The network of one address: "10.1.0.2/32" for "10.1.0.2"."""
    return f"{ip}/{128 if family_of(ip) == 6 else 32}"


def canonical_ip(text: str) -> Ip | None:
    """The IP address whose canonical text (RFC 5952) this is, or None."""
    ip = _ip(text)
    return ip if str(ip) == text else None


def addresses_among(texts: Iterable[str]) -> Iterator[Ip]:
    """The IP addresses whose canonical texts are among these texts, in the order of their texts."""
    for text in sorted(texts):
        ip = canonical_ip(text)
        if ip is not None:
            yield ip


def checked_ip(path: str, text: object, allowed: str = "for example 10.1.0.7") -> Ip:
    """The IP address at a JSON path. Raises InvalidConfig, with `allowed` as its details."""
    ip = parse_ip(text)
    if ip is None:
        raise InvalidConfig(f"{path}: {shortened(str(text))!r} is not an IP address", allowed)
    return ip


def checked_cidr(path: str, text: object) -> tuple[Ip, int]:
    """(address, prefix length) in CIDR notation at a JSON path. Host bits may be set.

    Raises InvalidConfig.
    """
    found = parse_cidr(text)
    if found is None:
        raise InvalidConfig(
            f"{path}: {shortened(str(text))!r} is not in CIDR notation", "for example 10.1.0.0/24"
        )
    ip, length = found
    if length > ip.max_prefixlen:
        raise InvalidConfig(
            f"{path}: {text!r} has a prefix longer than {ip.max_prefixlen}", "use a shorter prefix"
        )
    return found


def _ip(text: str) -> Ip | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
