"""What admitting needs besides rules: a record with the owners of addresses, and sources of a zone of
firewalld.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cni_firewall import NAME
from cni_firewall.steps import firewalld, owners
from cni_firewall.steps.withdraw import remove_rules, withdraw, withdraw_locked
from linkspan.call.records import Records
from linkspan.call.transaction import Undo, attempt, keep

if TYPE_CHECKING:
    from cni_firewall.facts import Admission
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True)
class Admit:
    """Record the admission and own its addresses. `earlier` is the admission that it replaces, if any."""

    attachment: Attachment
    admission: Admission
    earlier: Admission | None

    def do(self, host: Host) -> Undo:
        with owners.lock(host):
            if self.earlier is not None and self.earlier != self.admission:
                remove_rules(host, self.attachment, self.earlier)
            attempt(host, partial(self._record, host), partial(withdraw_locked, host, self.attachment))
        return partial(withdraw, host, self.attachment)

    def _record(self, host: Host) -> None:
        Records(host, NAME).write(self.attachment, self.admission.to_record())
        owners.take(host, self.attachment, self.admission.addresses)


@dataclass(frozen=True, slots=True)
class AddToZone:
    """Make the addresses sources of a zone of firewalld. Undone by `Admit`, which knows who owns them."""

    zone: str
    addresses: tuple[str, ...]

    def do(self, host: Host) -> Undo:
        for each in self.addresses:
            firewalld.add(host, self.zone, each)
        return keep
