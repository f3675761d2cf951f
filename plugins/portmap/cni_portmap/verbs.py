"""The five verbs of portmap, the reload of its rules, and the removal of a bridge's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from cni_portmap import NAME
from cni_portmap.config import Config
from cni_portmap.facts import Publication, read_facts
from cni_portmap.rules_iptables import bridge_removals
from cni_portmap.steps import claims
from cni_portmap.steps.preferred import serve_preferred
from cni_portmap.steps.withdraw import withdraw
from cni_portmap.takeover import remove_rules
from linkspan.call.exclusion import exclusively
from linkspan.call.plugin import Plugin
from linkspan.call.records import Records
from linkspan.call.reload import rebuild_each
from linkspan.call.transaction import Transaction, best_effort
from linkspan.cni.addresses import FAMILIES
from linkspan.cni.errors import AttachmentWrong
from linkspan.cni.model import Result
from linkspan.steps.backend import choose
from linkspan.steps.iptables import remove

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment, Request
    from linkspan.host.contract import Host


def add(request: Request, host: Host, transaction: Transaction) -> Result:
    """Publish the configured ports; prevResult is returned unchanged."""
    from cni_portmap.plan import plan_for

    config = Config.from_request(request)
    facts = read_facts(request, config, host)
    transaction.planned_from(facts)
    transaction.do(*plan_for(request, config, facts))
    return request.prev_result or Result()


def delete(request: Request, host: Host) -> None:
    """Remove everything that ADD recorded.

    Without a record, but with ports, what has our names, or is the reference's, is removed.
    """
    if Records(host, NAME).read(request.attachment) is not None:
        withdraw(host, request.attachment)
    elif request.runtime_config.get("portMappings"):
        best_effort(partial(withdraw, host, request.attachment), partial(remove_rules, request, host))


def check(request: Request, host: Host) -> None:
    """Raise AttachmentWrong unless every rule is there and leads to the addresses in prevResult."""
    from cni_portmap.check import problems

    found = problems(request, Config.from_request(request), host)
    if found:
        raise AttachmentWrong.of(found, "`linkspan reload` restores the rules")


def gc(request: Request, host: Host) -> None:
    """Withdraw what this network published for attachments that the runtime no longer knows."""
    stale = Records(host, NAME).stale(request)
    best_effort(*(partial(exclusively, host, NAME, each, partial(withdraw, host, each)) for each, _ in stale))


def status(request: Request, host: Host) -> None:
    """Raise ToolMissing if no backend works that the configuration allows."""
    config = Config.from_request(request)
    config.check_backend(choose(host, config.backend))


def reload(host: Host) -> None:
    """Restore the rules of every live attachment. Repeating it changes nothing."""
    rebuild_each(host, NAME, partial(_rebuild, host))


def remove_shared(request: Request, host: Host, bridge: str) -> None:
    """Remove the iptables rules that name a bridge; its nftables elements are removed with the bridge."""
    del request
    if bridge:
        remove(host, {family: bridge_removals(bridge, family) for family in FAMILIES})


def _rebuild(host: Host, attachment: Attachment, record: Mapping[str, Any]) -> None:
    from cni_portmap.plan import rules_of

    publication = Publication.from_record(attachment, record)
    if publication is not None and claims.is_alive(host, publication.host_link):
        # Not `carry_out`: what could be rebuilt stays when something else could not.
        best_effort(
            *(partial(step.do, host) for step in rules_of(publication)),
            partial(_serve_preferred, host, publication),
        )


def _serve_preferred(host: Host, publication: Publication) -> None:
    with claims.lock(host):
        serve_preferred(host, publication)


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
    remove_shared=remove_shared,
)
