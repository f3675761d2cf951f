"""What an ADD does to the host, one request a step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from cni_firewall import firewalld, iptables_rules, nft_rules, owners
from cni_firewall.admission import Admission
from linkspan.call.records import Records
from linkspan.call.transaction import Transaction, Undo, best_effort, keep
from linkspan.steps import nft_table

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host
    from linkspan.netfilter.rules import Family

PLUGIN = "firewall"


@dataclass(frozen=True, slots=True)
class Admit:
    """Record the admission and own its addresses. An earlier ADD that was another one is taken back first."""

    attachment: Attachment
    admission: Admission

    def do(self, host: Host) -> Undo:
        with owners.lock(host):
            earlier = recorded(host, self.attachment)
            if earlier is not None and earlier != self.admission:
                take_back(host, self.attachment, earlier)
            with Transaction(host) as transaction:
                transaction.on_failure(lambda: _withdraw_locked(host, self.attachment))
                Records(host, PLUGIN).write(self.attachment, self.admission.to_record())
                owners.take(host, self.attachment, self.admission.addresses)
        return lambda: withdraw(host, self.attachment)


@dataclass(frozen=True, slots=True)
class ApplyIptables:
    """All rules of one family, table filter. Undone by `Admit`, which knows whose the addresses are."""

    admission: Admission
    family: Family

    def do(self, host: Host) -> Undo:
        host.iptables.apply(self.family, "filter", iptables_rules.change(self.admission, self.family))
        return keep


@dataclass(frozen=True, slots=True)
class Fence:
    """The fence around a bridge, in our nftables table. Shared: never undone."""

    admission: Admission

    def do(self, host: Host) -> Undo:
        host.nftables.apply(nft_rules.change(self.admission, nft_table.preparation(host)))
        return keep


@dataclass(frozen=True, slots=True)
class IsolatePort:
    """Let the bridge itself keep its ports apart where no packet rule sees what it bridges. Gone with the port.

    Not with br_netfilter: there the rules see it, and an isolated port would lose the published ports of its neighbours, too.
    """

    port: str

    def do(self, host: Host) -> Undo:
        if lacks_isolation(host, self.port):
            host.links().change_port(self.port, isolated=True)
        return keep


@dataclass(frozen=True, slots=True)
class AdmitToZone:
    """The addresses as sources of a zone of firewalld. Undone by `Admit`."""

    zone: str
    addresses: tuple[str, ...]

    def do(self, host: Host) -> Undo:
        for each in self.addresses:
            firewalld.add(host, self.zone, source(each))
        return keep


def lacks_isolation(host: Host, port: str) -> bool:
    """Whether a link is the port of a bridge that exchanges frames with every other, and no rule of ours sees them."""
    links = host.links()
    link = links.get(port)
    unseen = links.sysctl("bridge/bridge-nf-call-iptables") in (None, "0")
    return link is not None and bool(link.master) and not link.isolated and unseen


def source(address: str) -> str:
    """An address as firewalld and the reference write it: 10.1.0.2/32."""
    return f"{address}/{128 if ':' in address else 32}"


def recorded(host: Host, attachment: Attachment) -> Admission | None:
    """What an ADD recorded, or None."""
    record = Records(host, PLUGIN).read(attachment)
    return None if record is None else Admission.from_record(record)


def withdraw(host: Host, attachment: Attachment) -> None:
    """Take everything of an attachment back that its record tells of. The record goes last, and only if all went well."""
    with owners.lock(host):
        _withdraw_locked(host, attachment)


def _withdraw_locked(host: Host, attachment: Attachment) -> None:
    admission = recorded(host, attachment)
    if admission is not None:
        take_back(host, attachment, admission)
    Records(host, PLUGIN).remove(attachment)


def take_back(host: Host, attachment: Attachment, admission: Admission) -> None:
    """Remove the rules of those addresses that no other attachment owns. Absent ones are fine. Under the owners' lock."""
    mine = owners.not_of_others(host, attachment, admission.addresses)
    remove = {"iptables": _leave_iptables, "firewalld": _leave_zone}.get(admission.backend)
    if remove is not None and mine:
        remove(host, replace(admission, addresses=mine))
    owners.release(host, mine)


def _leave_iptables(host: Host, admission: Admission) -> None:
    best_effort(
        *(
            partial(
                host.iptables.apply, family, "filter", iptables_rules.removal(admission.of_family(family))
            )
            for family in admission.families
            if host.iptables.usable(family)
        )
    )


def _leave_zone(host: Host, admission: Admission) -> None:
    if firewalld.runs(host):
        best_effort(
            *(partial(firewalld.remove, host, admission.zone, source(each)) for each in admission.addresses)
        )
