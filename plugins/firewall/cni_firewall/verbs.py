"""The five verbs of firewall, the reload of its rules, and the removal of a bridge's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from cni_firewall import NAME
from cni_firewall.config import Config
from cni_firewall.facts import Admission, choose, current_backend, read_facts
from cni_firewall.plan import admit, plan_for, rules_of
from cni_firewall.rules_iptables import isolation_removal
from cni_firewall.steps.withdraw import withdraw
from cni_firewall.takeover import remove_rules
from linkspan.call.exclusion import exclusively
from linkspan.call.plugin import Plugin
from linkspan.call.records import Records
from linkspan.call.transaction import Transaction, best_effort, carry_out
from linkspan.cni.addresses import FAMILIES
from linkspan.cni.errors import AttachmentWrong
from linkspan.cni.model import Result
from linkspan.steps.iptables import remove

if TYPE_CHECKING:
    from linkspan.call.restoring import Part, Restored, Scope
    from linkspan.cni.model import Attachment, Request
    from linkspan.host.contract import Host


def add(request: Request, host: Host, transaction: Transaction) -> Result:
    """Accept what the container sends, replies, and its published ports; prevResult is returned."""
    config = Config.from_request(request)
    facts = read_facts(request, config, host)
    transaction.planned_from(facts)
    transaction.do(*plan_for(request, config, facts))
    return request.prev_result or Result()


def delete(request: Request, host: Host) -> None:
    """Remove everything that ADD recorded; without a record, the rules of the addresses in prevResult."""
    if Records(host, NAME).read(request.attachment) is not None:
        withdraw(host, request.attachment)
    else:
        remove_rules(request, host)


def check(request: Request, host: Host) -> None:
    """Raise AttachmentWrong unless every rule is there, and before those that it must precede."""
    from cni_firewall.check import problems

    found = problems(request, Config.from_request(request), host)
    if found:
        raise AttachmentWrong.of(
            found,
            "`linkspan reload` restores the rules; without its bridge, DEL and ADD the attachment again",
        )


def gc(request: Request, host: Host) -> None:
    """Withdraw what this network has for attachments that the runtime no longer knows."""
    stale = Records(host, NAME).stale(request)
    best_effort(*(partial(exclusively, host, NAME, each, partial(withdraw, host, each)) for each, _ in stale))


def status(request: Request, host: Host) -> None:
    """Raise ToolMissing if no backend works that the configuration allows."""
    choose(host, Config.from_request(request).backend)


def reload(host: Host, scope: Scope) -> Iterator[Restored]:
    """Restore the rules of the live attachments. Repeating it changes nothing."""
    from linkspan.call.restoring import restore_each

    return restore_each(host, NAME, scope, partial(_parts, host))


def remove_shared(request: Request, host: Host, bridge: str) -> None:
    """Remove the iptables rules that isolate a bridge; its nftables elements are removed with the bridge."""
    del request
    if bridge:
        remove(host, {family: {"filter": isolation_removal(bridge)} for family in FAMILIES})


def _parts(host: Host, attachment: Attachment, record: Mapping[str, Any]) -> Iterator[Part]:
    from cni_firewall.check import missing
    from linkspan.call.restoring import MadeOf

    admission = Admission.from_record(record)
    if admission is None or (admission.port and host.links().get(admission.port) is None):
        return
    current = replace(admission, backend=current_backend(host, admission))
    plan = rules_of(current) if current == admission else admit(attachment, current, admission)
    yield MadeOf(lambda host: list(missing(host, current)), partial(carry_out, plan))


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
