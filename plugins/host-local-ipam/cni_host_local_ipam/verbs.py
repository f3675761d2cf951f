"""The five verbs of host-local, and the removal of a network's leases."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cni_host_local_ipam import NAME
from cni_host_local_ipam.config import Config, lease_folder
from cni_host_local_ipam.facts import read_facts, read_pool
from cni_host_local_ipam.leases.files import FileLeases
from cni_host_local_ipam.result import result_of
from cni_host_local_ipam.steps import discard_stale, dispose, release
from linkspan.call.plugin import Plugin
from linkspan.call.transaction import Transaction
from linkspan.cni.errors import AttachmentWrong, IoFailure, NotReady, PoolExhausted

if TYPE_CHECKING:
    from linkspan.cni.model import Request, Result
    from linkspan.host.contract import Host


def add(request: Request, host: Host, transaction: Transaction) -> Result:
    """Lease one address of each range set, all or none."""
    from cni_host_local_ipam.plan import plan_for

    config = Config.from_request(request)
    leases = FileLeases(host, config.folder)
    with leases.locked():
        leases.sweep()
        facts = read_facts(request, config, host)
        transaction.planned_from(facts)
        plan = plan_for(request, config, facts)
        transaction.do(*plan)
    return result_of(config, facts, plan)


def delete(request: Request, host: Host) -> None:
    """Release every address of the attachment."""
    release(host, lease_folder(request), request.attachment)


def check(request: Request, host: Host) -> None:
    """Raise AttachmentWrong unless the attachment holds the addresses of prevResult."""
    from cni_host_local_ipam.check import problems

    found = problems(request, Config.from_request(request), host)
    if found:
        raise AttachmentWrong.of(found, "DEL and ADD it again")


def gc(request: Request, host: Host) -> None:
    """Release the leases of attachments that the runtime no longer knows."""
    if request.valid_attachments is not None:
        discard_stale(request.valid_attachments, Config.from_request(request), host)


def status(request: Request, host: Host) -> None:
    """Raise NotReady if leases cannot be written or a range set has no free address. Creates nothing."""
    from cni_host_local_ipam.plan import refuse_exhausted

    config = Config.from_request(request)
    if not host.files.can_write(config.folder):
        raise NotReady(
            f"$.ipam.dataDir: leases cannot be written in {config.folder}",
            "check whether its file system is read-only or full",
        )
    try:
        refuse_exhausted(request, config, read_pool(config, host))
    except (IoFailure, PoolExhausted) as error:
        raise NotReady(error.msg, error.details) from None


def remove_shared(request: Request, host: Host, bridge: str) -> None:
    """Remove the directory of a network's leases, unless an address is leased."""
    del bridge
    dispose(host, lease_folder(request))


PLUGIN = Plugin(
    type=NAME,
    schema=os.path.join(os.path.dirname(__file__), "schema.json"),
    add=add,
    delete=delete,
    check=check,
    gc=gc,
    status=status,
    remove_shared=remove_shared,
)
