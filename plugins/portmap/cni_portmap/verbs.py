"""The five verbs of portmap."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from cni_portmap import claims
from cni_portmap.config import Config
from cni_portmap.handover import remove_rules
from cni_portmap.listeners import warn_of_listeners
from cni_portmap.look import missing, publication_for
from cni_portmap.plan import plan_for, rules_of
from cni_portmap.publication import Publication
from cni_portmap.steps import PLUGIN as NAME
from cni_portmap.steps import recorded, unpublish_by_name, withdraw
from linkspan.call.plugin import Plugin
from linkspan.call.records import Records
from linkspan.call.reload import rebuild_each
from linkspan.call.transaction import Transaction, best_effort
from linkspan.cni.errors import AttachmentWrong, NotReady, ToolMissing
from linkspan.cni.model import Result
from linkspan.steps.backend import choose

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment, Request
    from linkspan.host.contract import Host


def add(request: Request, host: Host, transaction: Transaction) -> Result:
    """Publish the ports that the runtime asks for; prevResult comes back unchanged."""
    result = request.prev_result or Result()
    config = Config.from_request(request)
    if config.asks_for_nothing:
        _withdraw_if_recorded(request, host)
        return result
    backend = choose(host, config.backend)
    config.check_backend(backend)
    earlier = recorded(host, request.attachment)
    publication = publication_for(request, config, backend, host, earlier)
    for address in publication.unreachable():
        host.warn(f"portmap: nothing is published on {address}: the container has no address of that family")
    transaction.do(*plan_for(publication))
    warn_of_listeners(host, publication)
    return result


def delete(request: Request, host: Host) -> None:
    """Take everything back that ADD recorded; where nothing is recorded but ports are named, what bears our names or the reference's."""
    if not _withdraw_if_recorded(request, host) and request.runtime_config.get("portMappings"):
        best_effort(lambda: unpublish_by_name(host, request.attachment), lambda: remove_rules(request, host))


def _withdraw_if_recorded(request: Request, host: Host) -> bool:
    if Records(host, NAME).read(request.attachment) is None:
        return False
    withdraw(host, request.attachment)
    return True


def check(request: Request, host: Host) -> None:
    """See that every rule of the attachment stands and leads to the address in prevResult; tell who else is at its ports."""
    config = Config.from_request(request)
    earlier = recorded(host, request.attachment)
    if not config.mappings and earlier is not None:
        config = earlier.config
    if config.asks_for_nothing:
        return
    backend = earlier.backend if earlier is not None else choose(host, config.backend)
    publication = publication_for(request, config, backend, host, earlier)
    warn_of_listeners(host, publication)
    wrong = missing(host, publication)
    if wrong:
        raise AttachmentWrong(wrong[0], "; ".join(wrong[1:]) or "`linkspan reload` builds the rules again")


def gc(request: Request, host: Host) -> None:
    """Withdraw what this network published for attachments that the runtime no longer knows."""
    stale = Records(host, NAME).stale(request)
    best_effort(*(partial(withdraw, host, attachment) for attachment, _ in stale))


def status(request: Request, host: Host) -> None:
    """Whether a port could be published now."""
    config = Config.from_request(request)
    try:
        config.check_backend(choose(host, config.backend))
    except ToolMissing as error:
        raise NotReady(error.msg, error.details) from None


def reload(host: Host) -> None:
    """Build the rules of every recorded attachment that lives again, whatever flushed them. Nothing comes twice."""
    rebuild_each(host, NAME, partial(_rebuild, host))


def _rebuild(host: Host, attachment: Attachment, record: Mapping[str, Any]) -> None:
    publication = Publication.from_record(attachment, record)
    if publication is not None and claims.lives(host, publication.host_link):
        # Not `carry_out`: what could be rebuilt stays when something else could not.
        best_effort(*(partial(step.do, host) for step in rules_of(publication)))


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
