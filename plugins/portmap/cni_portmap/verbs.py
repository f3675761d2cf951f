"""The five verbs of portmap, the reload of its rules, and the removal of a bridge's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from cni_portmap import NAME
from cni_portmap.config import Config
from cni_portmap.facts import Publication, read_facts
from cni_portmap.rules_iptables import DNAT, bridge_removals
from cni_portmap.steps import claims
from cni_portmap.steps.preferred import serve_preferred
from cni_portmap.steps.withdraw import withdraw
from cni_portmap.takeover import has_lost_record, remove_rules
from linkspan.call.exclusion import exclusively
from linkspan.call.plugin import Plugin
from linkspan.call.records import Records
from linkspan.call.transaction import Transaction, best_effort
from linkspan.cni.addresses import FAMILIES
from linkspan.cni.errors import AttachmentWrong
from linkspan.cni.model import Result
from linkspan.steps import lost
from linkspan.steps.backend import choose
from linkspan.steps.iptables import remove

if TYPE_CHECKING:
    from linkspan.call.restoring import Part, Restored, Scope
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

    Without a record, but with ports, what has our names, or is the reference's, is removed; without ports
    too if something of ours is known to have lost its record.
    """
    if Records(host, NAME).read(request.attachment) is not None:
        withdraw(host, request.attachment)
    elif request.runtime_config.get("portMappings") or has_lost_record(request, host):
        best_effort(partial(withdraw, host, request.attachment), partial(remove_rules, request, host))


def check(request: Request, host: Host) -> None:
    """Raise AttachmentWrong unless every rule is there and leads to the addresses in prevResult."""
    from cni_portmap.check import problems

    found = problems(request, Config.from_request(request), host)
    if found:
        raise AttachmentWrong.of(found, "`linkspan reload` restores the rules")


def gc(request: Request, host: Host) -> None:
    """Withdraw what this network published for attachments that the runtime no longer knows."""
    stale = [each for each, _ in Records(host, NAME).stale(request)]
    if lost.is_possible(host):
        stale += lost.stale(request, unrecorded(host))
    best_effort(*(partial(exclusively, host, NAME, each, partial(withdraw, host, each)) for each in stale))


def status(request: Request, host: Host) -> None:
    """Raise ToolMissing if no backend works that the configuration allows."""
    config = Config.from_request(request)
    config.check_backend(choose(host, config.backend))


def reload(host: Host, scope: Scope) -> Iterator[Restored]:
    """Restore the rules of the live attachments. Repeating it changes nothing."""
    from linkspan.call.restoring import restore_each

    return restore_each(host, NAME, scope, partial(_parts, host))


def guard(host: Host) -> Iterator[Part]:
    """What keeps containers from the host's 127.0.0.1 while it is routed to a bridge."""
    from cni_portmap.steps.guard import GuardLoopback
    from cni_portmap.steps.loopback import is_routed

    publications = (Publication.from_record(*each) for each in Records(host, NAME).all())
    guarded = {
        (each.interface, each.backend): each for each in publications if each and each.routes_loopback()
    }
    for each in guarded.values():
        if is_routed(host, each.interface):
            yield GuardLoopback(each)


def unrecorded(host: Host) -> tuple[Attachment, ...]:
    """The attachments with published ports that have lost their records."""
    from cni_portmap.rules_nftables import MAPS

    return lost.unrecorded(host, NAME, MAPS, {"nat": (DNAT,)})


def remove_shared(request: Request, host: Host, bridge: str) -> None:
    """Remove the iptables rules that name a bridge; its nftables elements are removed with the bridge."""
    del request
    if bridge:
        remove(host, {family: bridge_removals(bridge, family) for family in FAMILIES})


def _parts(host: Host, attachment: Attachment, record: Mapping[str, Any]) -> Iterator[Part]:
    from cni_portmap.check import incomplete
    from linkspan.call.restoring import MadeOf

    publication = Publication.from_record(attachment, record)
    if publication is not None and claims.is_alive(host, publication.host_link):
        yield MadeOf(lambda host: incomplete(host, publication), partial(_make, publication))


def _make(publication: Publication, host: Host) -> None:
    """Not `carry_out`: what could be made stays when something else could not."""
    from cni_portmap.plan import rules_of

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
    guard=guard,
    unrecorded=unrecorded,
    forget=withdraw,
    remove_shared=remove_shared,
)
