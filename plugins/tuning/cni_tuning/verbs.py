"""The five verbs of tuning.

nerdctl and podman chain it with an empty configuration, which must cost nothing.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from cni_tuning import NAME
from cni_tuning.config import Config
from cni_tuning.facts import read_allowlist, read_backup, read_facts, read_stale
from cni_tuning.result import result_of
from cni_tuning.steps import forget, restore_from
from linkspan.call.exclusion import exclusively
from linkspan.call.plugin import Plugin
from linkspan.call.transaction import Transaction, best_effort
from linkspan.cni.errors import AttachmentWrong, InvalidConfig, NotReady

if TYPE_CHECKING:
    from linkspan.cni.model import Request, Result
    from linkspan.host.contract import Host


def add(request: Request, host: Host, transaction: Transaction) -> Result:
    """Set the sysctls and change the interface, all or nothing."""
    from cni_tuning.plan import plan_for

    config = Config.from_request(request)
    facts = read_facts(request, config, host)
    transaction.planned_from(facts)
    transaction.do(*plan_for(request, config, facts))
    return result_of(request, config)


def delete(request: Request, host: Host) -> None:
    """Restore the interface if it still exists, and remove the backup in any case."""
    backup = read_backup(request, host)
    restore_from(backup, request, host)
    forget(host, request.attachment, backup.path)


def check(request: Request, host: Host) -> None:
    """Raise AttachmentWrong unless sysctls and interface are as configured, or as a later plugin reports."""
    from cni_tuning.check import problems

    found = problems(request, Config.from_request(request), host)
    if found:
        raise AttachmentWrong.of(found, "DEL and ADD it again")


def gc(request: Request, host: Host) -> None:
    """Remove the backups of this network's attachments that the runtime no longer knows."""
    stale = read_stale(request, host)
    best_effort(
        *(partial(exclusively, host, NAME, each, partial(forget, host, each, path)) for each, path in stale)
    )


def status(request: Request, host: Host) -> None:
    """Raise NotReady if the administrator's allowlist refuses a sysctl of the configuration."""
    from cni_tuning.plan import refuse_unlisted

    config = Config.from_request(request)
    try:
        refuse_unlisted(config.sysctls, read_allowlist(config, host))
    except InvalidConfig as error:
        raise NotReady(error.msg, error.details) from None


PLUGIN = Plugin(
    type=NAME,
    schema=os.path.join(os.path.dirname(__file__), "schema.json"),
    add=add,
    delete=delete,
    check=check,
    gc=gc,
    status=status,
    chained=True,
)
