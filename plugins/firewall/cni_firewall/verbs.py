"""The five verbs of firewall."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from cni_firewall import firewalld, iptables_rules, nft_rules, owners
from cni_firewall.admission import Admission
from cni_firewall.config import Config
from cni_firewall.plan import admission_for, choose, leftovers, of_today, plan_for, rules_of
from cni_firewall.steps import PLUGIN as NAME
from cni_firewall.steps import lacks_isolation, recorded, source, take_back, withdraw
from linkspan.call.plugin import Plugin
from linkspan.call.records import Records
from linkspan.call.reload import rebuild_each
from linkspan.call.transaction import Transaction, best_effort, carry_out
from linkspan.cni.errors import AttachmentWrong, NotReady, ToolMissing
from linkspan.cni.model import Result
from linkspan.netfilter.iptables_check import absent
from linkspan.steps import nft_table
from linkspan.steps.forwarding import accept_forwarding

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment, Request
    from linkspan.host.contract import Host


def add(request: Request, host: Host, transaction: Transaction) -> Result:
    """Let through what the container sends and is answered, and its published ports; prevResult comes back unchanged."""
    config = Config.from_request(request)
    admission = admission_for(request, config, choose(host, config.backend), host)
    transaction.do(*plan_for(request.attachment, admission))
    return request.prev_result or Result()


def delete(request: Request, host: Host) -> None:
    """Take everything back that ADD recorded; where nothing is recorded, the rules of the addresses in prevResult."""
    attachment = request.attachment
    if Records(host, NAME).read(attachment) is not None:
        withdraw(host, attachment)
        return
    admissions = leftovers(request, host)
    if admissions:
        with owners.lock(host):
            best_effort(*(partial(take_back, host, attachment, each) for each in admissions))


def check(request: Request, host: Host) -> None:
    """See that every rule of the attachment stands, and before those that it must precede. Changes nothing."""
    config = Config.from_request(request)
    earlier = recorded(host, request.attachment)
    if earlier is not None and earlier.fence and host.links().get(earlier.bridge) is None:
        raise AttachmentWrong(f"the bridge {earlier.bridge} is gone", "DEL and ADD the attachment again")
    backend = of_today(earlier, host).backend if earlier is not None else choose(host, config.backend)
    wrong = missing(host, admission_for(request, config, backend, host))
    if wrong:
        raise AttachmentWrong(
            wrong[0][:120], "; ".join(wrong[1:]) or "`linkspan reload` builds the rules again"
        )


def gc(request: Request, host: Host) -> None:
    """Withdraw what this network has for attachments that the runtime no longer knows."""
    stale = Records(host, NAME).stale(request)
    best_effort(*(partial(withdraw, host, attachment) for attachment, _ in stale))


def status(request: Request, host: Host) -> None:
    """Whether a container could be let through now."""
    config = Config.from_request(request)
    try:
        choose(host, config.backend)
    except ToolMissing as error:
        raise NotReady(error.msg, error.details) from None


def missing(host: Host, admission: Admission) -> list[str]:
    """What of an admission is not there, as sentences."""
    found = [
        sentence
        for family in admission.in_iptables
        for sentence in absent(
            host.iptables.rules(family, "filter"), iptables_rules.change(admission, family)
        )
    ]
    if admission.backend != "iptables":
        found += accept_forwarding(admission.interface, admission.families).missing(host)
    if admission.fence == "nftables":
        found += _missing_fence(host, admission)
    if admission.policy == "isolated" and lacks_isolation(host, admission.port):
        found.append(f"the bridge port {admission.port} is not isolated")
    if admission.backend == "firewalld":
        found += [
            f"{source(each)} is not in the zone {admission.zone} of firewalld"
            for each in admission.addresses
            if not firewalld.has(host, admission.zone, source(each))
        ]
    return found


def reload(host: Host) -> None:
    """Build the rules of every recorded attachment that lives again, whatever flushed them. Nothing comes twice."""
    rebuild_each(host, NAME, partial(_rebuild, host))


def _rebuild(host: Host, attachment: Attachment, record: Mapping[str, Any]) -> None:
    admission = Admission.from_record(record)
    if admission is None or (admission.port and host.links().get(admission.port) is None):
        return
    today = of_today(admission, host)
    carry_out(rules_of(today) if today == admission else plan_for(attachment, today), host)


def _missing_fence(host: Host, admission: Admission) -> list[str]:
    found = nft_table.missing_rules(host)
    for wanted in nft_rules.elements(admission):
        if host.nftables.element(wanted.name, wanted.key) is None:
            found.append(
                f"{wanted.key[0]} is not fenced off: it is missing in the nftables set {wanted.name}"
            )
    for unwanted in nft_rules.forbidden(admission):
        if host.nftables.element(unwanted.name, unwanted.key) is not None:
            found.append(f"{unwanted.key[0]} is open to itself: it is in the nftables set {unwanted.name}")
    return found


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
