"""Choosing a subnet as Docker does: the first block of the default pools that nothing on the host uses.

The pools are those of moby's daemon/libnetwork/ipamutils (29), so that the first user-defined network after
172.17.0.0/16 is 172.18.0.0/16. Docker stops when they are exhausted; blocks of 256 addresses in 10.0.0.0/8
follow here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_network

from linkspan.cni.addresses import Network
from linkspan.steps.occupied import Used, overlap


@dataclass(frozen=True, slots=True)
class Pool:
    """A block of addresses that is cut into subnets of one prefix length."""

    base: str
    prefix_length: int


POOLS_V4 = (
    Pool("172.17.0.0/16", 16),
    Pool("172.18.0.0/16", 16),
    Pool("172.19.0.0/16", 16),
    Pool("172.20.0.0/14", 16),
    Pool("172.24.0.0/14", 16),
    Pool("172.28.0.0/14", 16),
    Pool("192.168.0.0/16", 20),
    Pool("10.0.0.0/8", 24),
)


def ula_pool(host_id: str) -> Pool:
    """The host's own pool of IPv6 subnets: a unique local prefix (RFC 4193, 3.2.2) derived from its
    machine ID.
    """
    global_id = sha256(host_id.encode()).hexdigest()[:10]
    return Pool(f"fd{global_id[:2]}:{global_id[2:6]}:{global_id[6:]}::/48", 64)


def first_free(pools: Iterable[Pool], used: Sequence[Used]) -> Network | None:
    """The first subnet of the pools that overlaps no used range, or None if they are exhausted."""
    for pool in pools:
        base = ip_network(pool.base)
        free = next(_free(base, pool.prefix_length, _ranges(base, used)), None)
        if free is not None:
            return ip_network((free, pool.prefix_length))
    return None


def _ranges(base: Network, used: Iterable[Used]) -> list[tuple[int, int]]:
    """The used ranges inside `base` as sorted pairs (first address, last address)."""
    return sorted(
        (int(each.network.network_address), int(each.network.broadcast_address))
        for each in used
        if overlap(each.network, base)
    )


def _free(base: Network, prefix_length: int, ranges: Iterable[tuple[int, int]]) -> Iterator[int]:
    """The first address of each free subnet between the used ranges; constant work for each range."""
    size = 1 << (base.max_prefixlen - prefix_length)
    start, end = int(base.network_address), int(base.broadcast_address)
    for first, last in ranges:
        if start + size <= first:
            yield start
        start = max(start, (last // size + 1) * size)
    if start + size - 1 <= end:
        yield start
