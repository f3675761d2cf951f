"""The five verbs of dns, and the restoration of its rules."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from cni_dns import NAME
from cni_dns.check import problems, refuse_unready
from cni_dns.config import Config
from cni_dns.facts import read_entries, read_entry, read_facts, read_stale
from cni_dns.plan import plan_for
from cni_dns.result import result_of
from cni_dns.server.client import SERVICE
from cni_dns.steps import forget, parts
from linkspan.call.exclusion import exclusively
from linkspan.call.plugin import Plugin
from linkspan.call.restoring import restored
from linkspan.call.transaction import Transaction, best_effort
from linkspan.cni.errors import AttachmentWrong

if TYPE_CHECKING:
    from linkspan.call.restoring import Part, Restored, Scope
    from linkspan.cni.model import Attachment, Request, Result
    from linkspan.host.contract import Host


def add(request: Request, host: Host, transaction: Transaction) -> Result:
    """Have the container's names answered. Raises InvalidConfig, PortTaken, IoFailure, TryAgain."""
    config = Config.from_request(request)
    facts = read_facts(request, config, host)
    transaction.planned_from(facts)
    transaction.do(*plan_for(request, config, facts))
    return result_of(request, config, facts)


def delete(request: Request, host: Host) -> None:
    """Have the attachment's names answered no longer."""
    forget(host, (request.attachment,))


def check(request: Request, host: Host) -> None:
    """Raise AttachmentWrong unless the names are recorded and answered."""
    found = problems(request, Config.from_request(request), host)
    if found:
        raise AttachmentWrong.of(
            found, "`linkspan reload` restores the rules; otherwise DEL and ADD it again"
        )


def gc(request: Request, host: Host) -> None:
    """Have the names of attachments that the runtime no longer knows answered no longer."""
    stale = read_stale(request, host)
    best_effort(*(partial(exclusively, host, NAME, each, partial(forget, host, [each])) for each in stale))


def status(request: Request, host: Host) -> None:
    """Raise NotReady if no name could be served now, NotReadyDegraded if some names are not served."""
    Config.from_request(request)
    refuse_unready(host)


def reload(host: Host, scope: Scope) -> Iterator[Restored]:
    """Restore the rules for port 53 of the gateways in use, and have the names answered."""

    def one(attachment: Attachment) -> Iterable[Part]:
        entry = read_entry(attachment, host)
        if entry is None:
            return ()
        is_gone = entry.link and host.links().get(entry.link) is None
        return parts(entry, rules_only=scope.rules_only or bool(is_gone))

    for entry in read_entries(host):
        if scope.network in ("", entry.attachment.network):
            yield restored(host, NAME, entry.attachment, partial(one, entry.attachment))


PLUGIN = Plugin(
    type=NAME,
    schema=os.path.join(os.path.dirname(__file__), "schema.json"),
    add=add,
    delete=delete,
    check=check,
    gc=gc,
    status=status,
    chained=True,
    reload=reload,
    program=SERVICE.program,
)
