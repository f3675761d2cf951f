"""The five verbs of host-local."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cni_host_local_ipam.config import Config, pool_folder, requested_addresses
from cni_host_local_ipam.leases import Pool
from cni_host_local_ipam.ranges import Ip, RangeSet
from cni_host_local_ipam.resolv import parse_resolv_conf
from cni_host_local_ipam.result import result_of
from linkspan.call.plugin import Plugin
from linkspan.call.transaction import Transaction, best_effort
from linkspan.cni.errors import (
    AlreadyAttached,
    AttachmentWrong,
    InvalidConfig,
    IoFailure,
    NotReady,
    PoolExhausted,
)
from linkspan.cni.model import Attachment, Dns, Result

if TYPE_CHECKING:
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host


def add(request: Request, host: Host, transaction: Transaction) -> Result:
    """Reserve one address of each range set, all or none."""
    config = Config.from_request(request, ranges_needed=True)
    config.refuse_unless_told_by(request.cni_version)
    asked = _by_set(config, requested_addresses(request))
    dns = _dns(config, host)
    pool = Pool(host, pool_folder(request))
    with pool.locked():
        _refuse_second(pool, request.attachment)
        transaction.on_failure(lambda: delete(request, host))
        reserved = [
            (one, _reserve(pool, request, number, one, asked.get(number)))
            for number, one in enumerate(config.sets)
        ]
    return result_of(config, reserved, dns)


def delete(request: Request, host: Host) -> None:
    """Give back every address of the attachment; a pool that is not there has none."""
    folder = pool_folder(request)
    if not host.files.names(folder):
        return
    pool = Pool(host, folder)
    with pool.locked():
        pool.release_all(request.attachment)


def check(request: Request, host: Host) -> None:
    """See that the attachment holds the addresses that prevResult says, as far as they are of this pool."""
    config = Config.from_request(request, ranges_needed=True)
    held = _held(request, host)
    if not held:
        raise AttachmentWrong(f"host-local: {request.attachment} has no lease", "DEL and ADD it again")
    stated = request.prev_result.ips if request.prev_result is not None else ()
    for address in stated:
        home = [one for one in config.sets if any(address.ip == str(ip) for ip in _parsed(address.ip, one))]
        if home and address.ip not in held:
            raise AttachmentWrong(
                f"host-local: {address.ip} is not leased to {request.container_id}", "DEL and ADD it again"
            )


def _held(request: Request, host: Host) -> set[str]:
    """The addresses that the attachment holds; a network that nobody joined has none, and gets no folder."""
    folder = pool_folder(request)
    if not host.files.names(folder):
        return set()
    pool = Pool(host, folder)
    with pool.locked():
        return {str(ip) for ip in pool.leases_of(request.attachment)}


def gc(request: Request, host: Host) -> None:
    """Release the leases of attachments that the runtime no longer knows."""
    valid = request.valid_attachments
    if valid is None or not host.files.names(pool_folder(request)):
        return
    config = Config.from_request(request, ranges_needed=False)
    pool = Pool(host, pool_folder(request))
    ids = {container_id for container_id, _ in valid}
    with pool.locked():
        for ip in filter(config.concerns, pool.taken().values()):
            holder = pool.holder(ip)
            known = holder is not None and (holder in valid or (not holder[1] and holder[0] in ids))
            if not known:
                _forget(pool, request.network, ip, holder)


def status(request: Request, host: Host) -> None:
    """Whether leases can be written and every range set has a free address. Makes nothing."""
    config = Config.from_request(request, ranges_needed=False)
    folder = pool_folder(request)
    if not host.files.can_write(folder):
        raise NotReady(
            f"$.ipam.dataDir: leases cannot be written in {folder}",
            "is it on a file system that is read-only?",
        )
    try:
        full = _full_sets(Pool(host, folder), config) if host.files.names(folder) else []
    except IoFailure as error:
        raise NotReady(error.msg, error.details) from None
    if full:
        raise NotReady(_full(request.network, full[0]), "remove containers, or widen the range")


def _full_sets(pool: Pool, config: Config) -> list[RangeSet]:
    with pool.locked():
        return [one for number, one in enumerate(config.sets) if pool.next_free(number, one) is None]


def _forget(pool: Pool, network: str, ip: Ip, holder: tuple[str, str] | None) -> None:
    if holder is None:
        pool.release(ip)
        return
    attachment = Attachment(network, *holder)
    best_effort(lambda: pool.release_all(attachment), lambda: pool.release(ip))


def _refuse_second(pool: Pool, attachment: Attachment) -> None:
    living = [ip for ip in pool.foreign_leases_of(attachment) if not pool.is_free(ip)]
    if living:
        raise AlreadyAttached(
            f"{living[0]} has been allocated to {attachment.container_id[:20]}, duplicate allocation is not allowed",
            f"{attachment} was added before; DEL it first",
        )


def _by_set(config: Config, asked: Sequence[Ip]) -> dict[int, Ip]:
    """Which requested address goes to which range set. Raises InvalidConfig for one that fits nowhere."""
    found: dict[int, Ip] = {}
    for ip in asked:
        number = next((n for n, one in enumerate(config.sets) if ip in one), None)
        if number is None:
            raise InvalidConfig(
                f"failed to allocate all requested IPs: {ip} is in no range of this network",
                "ask for one of " + ", ".join(str(one) for one in config.sets),
            )
        if number in found:
            raise InvalidConfig(
                f"failed to allocate all requested IPs: {ip} and {found[number]} are of one range set",
                "a range set gives a container one address",
            )
        if ip in config.sets[number].gateways:
            raise InvalidConfig(f"requested ip {ip} is subnet's gateway", "ask for another address")
        found[number] = ip
    return found


def _reserve(pool: Pool, request: Request, number: int, one: RangeSet, asked: Ip | None) -> Ip:
    if asked is not None and not pool.is_free(asked):
        holder = pool.holder(asked)
        raise PoolExhausted(
            f"requested IP address {asked} is not available in range set {one}",
            f"container {holder[0] if holder else 'unknown'} holds it on network {request.network}",
        )
    ip = asked if asked is not None else pool.next_free(number, one)
    if ip is None:
        raise PoolExhausted(_full(request.network, one), "remove containers, or widen the range")
    pool.reserve(ip, request.attachment)
    if asked is None:  # what somebody asked for is no step of the round
        pool.move_on(number, ip)
    return ip


def _full(network: str, one: RangeSet) -> str:
    return f"network {network}: no IP addresses available in range set: {one} (all {one.size} are taken)"


def _parsed(text: str, one: RangeSet) -> tuple[Ip, ...]:
    from cni_host_local_ipam.ranges import address_or_none

    ip = address_or_none(text)
    return (ip,) if ip is not None and ip.version == one.family and ip in one else ()


def _dns(config: Config, host: Host) -> Dns:
    if not config.resolv_conf:
        return Dns()
    content = host.files.read(config.resolv_conf)
    if content is None:
        raise InvalidConfig(
            f"$.ipam.resolvConf: {config.resolv_conf} is no readable file",
            "name a resolv.conf, or leave it out",
        )
    return parse_resolv_conf(content.decode(errors="replace"))


PLUGIN = Plugin(
    type="host-local",
    schema=os.path.join(os.path.dirname(__file__), "schema.json"),
    add=add,
    delete=delete,
    check=check,
    gc=gc,
    status=status,
)
