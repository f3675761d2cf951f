"""Addresses as configurations and results write them.

MAC addresses, and IP addresses with or without a prefix length.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Literal

Family = Literal[4, 6]
FAMILIES: tuple[Family, ...] = (4, 6)

#: Octets of an Ethernet address; Go's net.ParseMAC also takes EUI-64 and IP over InfiniBand.
ETHERNET, ANY_LINK_LAYER = (6,), (6, 8, 20)
_SPELLINGS = re.compile(
    r"[0-9a-f]{2}(:[0-9a-f]{2})+|[0-9a-f]{2}(-[0-9a-f]{2})+|[0-9a-f]{4}(\.[0-9a-f]{4})+", re.IGNORECASE
)


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
