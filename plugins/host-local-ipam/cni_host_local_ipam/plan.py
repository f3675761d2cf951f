"""Which address goes to whom. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni_host_local_ipam.steps import ClaimAddresses, MoveCursor
from linkspan.cni.errors import AlreadyAttached, PoolExhausted
from linkspan.cni.model import Attachment

if TYPE_CHECKING:
    from cni_host_local_ipam.config import Config, RangeSet
    from cni_host_local_ipam.facts import Facts, Pool
    from linkspan.call.transaction import Plan
    from linkspan.cni.addresses import Ip
    from linkspan.cni.model import Request


def plan_for(request: Request, config: Config, facts: Facts) -> Plan:
    """Claim one address of each range set, and remember where round robin stands.

    Raises AlreadyAttached, PoolExhausted.
    """
    if facts.present:
        raise AlreadyAttached(
            f"{facts.present[0]} has been allocated to {request.attachment.short_id},"
            " duplicate allocation is not allowed",
            f"{request.attachment} was added before; DEL it first",
        )
    addresses = tuple(_chosen(request, config, facts.pool, number) for number in range(len(config.sets)))
    # A requested address is no step of the round.
    in_turn = (each for each in enumerate(addresses) if each[0] not in config.requested)
    return (
        ClaimAddresses(config.folder, request.attachment, addresses),
        *(MoveCursor(config.folder, number, ip) for number, ip in in_turn),
    )


def next_free(one: RangeSet, cursor: Ip | None, pool: Pool) -> Ip | None:
    """The next address of a range set in round robin that nobody holds; None if every address is held.

    Recently released addresses follow all others, the one that was released first before the rest.
    """
    recent = []
    for ip in one.candidates(cursor):
        if not pool.is_free(ip):
            continue
        if str(ip) not in pool.released:
            return ip
        recent.append(ip)
    return min(recent, key=lambda ip: pool.released[str(ip)], default=None)


def refuse_exhausted(request: Request, config: Config, pool: Pool) -> None:
    """Raise PoolExhausted if a range set has no free address."""
    for one, cursor in zip(config.sets, pool.cursors, strict=True):
        if next_free(one, cursor, pool) is None:
            raise _exhausted(request.network, one)


def _exhausted(network: str, one: RangeSet) -> PoolExhausted:
    return PoolExhausted(
        f"network {network}: no IP addresses available in range set: {one} (all {one.size} are taken)",
        "remove containers, or use a larger range",
    )


def _chosen(request: Request, config: Config, pool: Pool, number: int) -> Ip:
    one, requested = config.sets[number], config.requested.get(number)
    if requested is None:
        found = next_free(one, pool.cursors[number], pool)
        if found is None:
            raise _exhausted(request.network, one)
        return found
    owner = pool.owners.get(str(requested))
    if owner is not None:
        short = Attachment(request.network, owner.container_id, owner.ifname).short_id or "unknown"
        raise PoolExhausted(
            f"requested IP address {requested} is not available in range set {one}",
            f"container {short} holds it on network {request.network}",
        )
    return requested
