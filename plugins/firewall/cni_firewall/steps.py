"""What an ADD does to the host, one request a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cni_firewall import firewalld, iptables_rules, nft_rules, owners
from cni_firewall.admission import Admission
from linkspan import nft_table
from linkspan.plan import Undo, best_effort, keep
from linkspan.state import Records

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from linkspan.host.contract import Host
    from linkspan.model import Attachment
    from linkspan.rules import Family

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
        links = host.links()
        link = links.get(self.port)
        if link is not None and link.master and links.sysctl("bridge/bridge-nf-call-iptables") in (None, "0"):
            links.change_port(self.port, isolated=True)
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
        admission = recorded(host, attachment)
        if admission is not None:
            take_back(host, attachment, admission)
        Records(host, PLUGIN).remove(attachment)


def take_back(host: Host, attachment: Attachment, admission: Admission) -> None:
    """Remove the rules of those addresses that no other attachment owns. Absent ones are fine. Under the owners' lock."""
    mine = owners.not_of_others(host, attachment, admission.addresses)
    best_effort(*_removals(host, admission, mine), lambda: owners.release(host, mine))


def _removals(host: Host, admission: Admission, addresses: Sequence[str]) -> Iterator[Undo]:
    for family in admission.accepted:
        own = tuple(each for each in admission.of_family(family) if each in addresses)
        if own and host.iptables.usable(family):
            change = iptables_rules.removal(own)
            yield lambda family=family, change=change: host.iptables.apply(family, "filter", change)  # type: ignore[misc]
    if admission.backend == "firewalld" and addresses and firewalld.runs(host):
        for each in addresses:
            yield lambda each=each: firewalld.remove(host, admission.zone, source(each))  # type: ignore[misc]
