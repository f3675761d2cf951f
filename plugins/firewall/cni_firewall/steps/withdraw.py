"""Withdrawing what an attachment was admitted to: its rules, its addresses' owners and its record."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cni_firewall import NAME, rules_iptables
from cni_firewall.config import DEFAULT_ZONE
from cni_firewall.facts import Admission, recorded
from cni_firewall.steps import firewalld, owners
from linkspan.call.records import Records
from linkspan.call.transaction import best_effort
from linkspan.cni.addresses import by_family
from linkspan.steps import iptables

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni_firewall.config import Backend
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host


def withdraw(host: Host, attachment: Attachment) -> None:
    """Remove everything that an attachment's record names, and the record last, if nothing failed."""
    with owners.lock(host):
        withdraw_locked(host, attachment)


def withdraw_locked(host: Host, attachment: Attachment) -> None:
    """`withdraw` for a caller that holds the lock of the owners."""
    admission = recorded(host, attachment)
    if admission is not None:
        remove_rules(host, attachment, admission)
    else:
        remove_unrecorded(host, attachment, owners.addresses_of(host, attachment))
    Records(host, NAME).remove(attachment)


def remove_unrecorded(
    host: Host,
    attachment: Attachment,
    addresses: tuple[str, ...],
    backends: Iterable[Backend] = ("iptables", "firewalld"),
    zone: str = DEFAULT_ZONE,
) -> None:
    """`remove_rules` for an attachment without a usable record, from each backend that may have its rules."""
    possible = (Admission(backend=each, addresses=addresses, zone=zone) for each in backends)
    best_effort(*(partial(remove_rules, host, attachment, each) for each in possible if addresses))


def remove_rules(host: Host, attachment: Attachment, admission: Admission) -> None:
    """Remove the rules of those addresses that no other attachment owns. Under the lock of the owners.

    Absent rules are fine. Rules of bridges stay: other containers share them.
    """
    own = owners.not_of_others(host, attachment, admission.addresses)
    if admission.backend == "iptables":
        removals = {family: rules_iptables.removal(each) for family, each in by_family(own).items()}
        iptables.remove(host, {family: {"filter": change} for family, change in removals.items()})
    if admission.backend == "firewalld" and own and firewalld.runs(host):
        best_effort(*(partial(firewalld.remove, host, admission.zone, each) for each in own))
    owners.release(host, own)
