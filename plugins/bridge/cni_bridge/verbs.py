"""The five verbs of bridge, the reload of its rules, and the removal of a bridge's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from cni_bridge import NAME, takeover
from cni_bridge.config import Config, gateway_link, ipam_type
from cni_bridge.facts import (
    Record,
    read_backend,
    read_created,
    read_facts,
    read_record,
    read_stale,
    read_used,
)
from cni_bridge.result import result_of
from cni_bridge.steps import attachment as attachments
from cni_bridge.steps import ipam
from cni_bridge.steps.sources import remove_sources
from linkspan import paths
from linkspan.call.delegate import delegate
from linkspan.call.exclusion import exclusively
from linkspan.call.plugin import Plugin
from linkspan.call.records import Records
from linkspan.call.transaction import Transaction, Undo, best_effort
from linkspan.cni.errors import AttachmentWrong, NotReady
from linkspan.cni.model import Attachment, Result
from linkspan.steps import lost, masquerade
from linkspan.steps.bridge_removal import remove_bridge_rules
from linkspan.steps.closing import require

if TYPE_CHECKING:
    from linkspan.call.restoring import LookedAt, Part, Restored, Scope
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host


def add(request: Request, host: Host, transaction: Transaction) -> Result:
    """Attach the container to the bridge, with the addresses that IPAM returns."""
    from cni_bridge.plan import first_record, layout_of, plan_for, refuse_overlap, refuse_second

    config = Config.from_request(request)
    # A container is attached to one network at a time: the second default route must get a worse metric.
    with host.files.lock_attachment("container", Attachment("", request.container_id, "")):
        facts = read_facts(request, config, host)
        transaction.planned_from(facts)
        refuse_second(request, facts)
        transaction.do(first_record(request, config, facts))
        reserved = ipam.reserve(request, host, transaction)
        transaction.planned_from(reserved)
        layout = layout_of(request, config, facts, reserved)
        if config.is_gateway and config.refuse_overlap:
            used = read_used(config, layout.gateways, host)
            transaction.planned_from(used)
            transaction.do(*refuse_overlap(layout, used))
        transaction.do(*plan_for(request, config, layout))
        return result_of(request, config, layout, read_created(request, config, host))


def delete(request: Request, host: Host) -> None:
    """Remove what ADD created, even without namespace, prevResult or record; then release the addresses."""
    attachment = request.attachment
    record = read_record(attachment, host)
    recorded = record.ipam if record is not None else None
    # After an edit of the list only the record knows whom to return the addresses to: it is removed last.
    edited = ipam.is_edited(request, recorded)
    remove = attachments.remove if edited else attachments.forget
    addresses = record.addresses if record is not None else None
    removals: list[Undo] = [partial(remove_sources, host, request.netns, attachment, addresses)]
    removals.append(partial(remove, host, attachment, record))
    removals.append(partial(takeover.remove_pair, request, host))
    if record is None:
        removals.append(partial(takeover.remove_masquerade, request, host))
    best_effort(*removals, partial(ipam.release, request, host, recorded))
    if edited:
        Records(host, NAME).remove(attachment)


def check(request: Request, host: Host) -> None:
    """Raise AttachmentWrong unless links, addresses, routes and rules are as prevResult says."""
    from cni_bridge.check import is_restorable, problems

    config = Config.from_request(request)
    if config.ipam:
        delegate(config.ipam, request, host)
    found = problems(request, config, host)
    if found and is_restorable(request, config, host):
        raise AttachmentWrong.of(found, "`linkspan reload` restores it")
    if found:
        raise AttachmentWrong.of(found, "DEL and ADD it again")


def gc(request: Request, host: Host) -> None:
    """Remove what this bridge has for attachments that the runtime no longer knows; IPAM does the same."""
    stale: list[tuple[Attachment, Record | None]] = [*read_stale(request, host)]
    if lost.is_possible(host):
        stale += [(each, None) for each in lost.stale(request, unrecorded(host))]
    removals: list[Undo] = [
        partial(exclusively, host, NAME, attachment, partial(attachments.forget, host, attachment, record))
        for attachment, record in stale
    ]
    if ipam_type(request):
        removals.append(partial(delegate, ipam_type(request), request, host))
    best_effort(*removals)


def status(request: Request, host: Host) -> None:
    """Raise NotReady or ToolMissing unless a container could be attached now."""
    config = Config.from_request(request)
    link = host.links().get(config.bridge)
    if link is not None and link.kind != "bridge":
        raise NotReady(
            f"$.bridge: {config.bridge} is not a bridge", "name a bridge, or a link that does not exist yet"
        )
    read_backend(config, host)
    if config.isolated:
        require(host)
    if config.ipam:
        delegate(config.ipam, request, host)


def reload(host: Host, scope: Scope) -> Iterator[Restored]:
    """Restore links and packet rules of the live attachments. Repeating it changes nothing."""
    from cni_bridge.steps.repair import parts
    from linkspan.call.restoring import restore_each

    def parts_of(attachment: Attachment, content: Mapping[str, Any]) -> Iterator[Part | LookedAt]:
        return parts(host, attachment, Record.from_record(content), rules_only=scope.rules_only)

    return restore_each(host, NAME, scope, parts_of)


def unrecorded(host: Host) -> tuple[Attachment, ...]:
    """The attachments with masquerading that have lost their records."""
    return lost.unrecorded(host, NAME, masquerade.MAPS, {"nat": ("POSTROUTING",)})


def adopt(request: Request, host: Host) -> None:
    """Write the record of an attachment that lives, from the result of its ADD."""
    from cni_bridge.plan import layout_of, record_of
    from cni_bridge.steps.sources import rules_of

    config, result = Config.from_request(request), request.prev_result or Result()
    facts = replace(read_facts(request, config, host), default_metrics={})
    layout = layout_of(request, config, facts, replace(result, ips=result.addresses_of(request.ifname)))
    reported = result.interface_of(request.ifname)
    record = record_of(request, config, replace(layout, mac=reported.mac) if reported else layout)
    links = host.links(request.netns)
    sources = {rule.source for family in layout.families for rule in rules_of(links, family)}
    routed = any(each.ip in sources for each in layout.addresses)
    Records(host, NAME).write(request.attachment, replace(record, routed=routed).to_record())


def after(request: Request, host: Host) -> None:
    """Have what `linkspan connect` attached the container to follow it: most containers have nothing so."""
    if host.files.names(paths.connections(request.container_id)):
        from linkspan.call.following import follow

        follow(request, host)


def remove_shared(request: Request, host: Host, bridge: str) -> None:
    """Remove the rules that the attachments to a bridge shared, unless links are ports of it."""
    remove_bridge_rules(host, bridge, gateway_link(request))


PLUGIN = Plugin(
    type=NAME,
    schema=os.path.join(os.path.dirname(__file__), "schema.json"),
    add=add,
    delete=delete,
    check=check,
    gc=gc,
    status=status,
    remove_shared=remove_shared,
    after=after,
    reload=reload,
    unrecorded=unrecorded,
    forget=attachments.forget,
    adopt=adopt,
)
