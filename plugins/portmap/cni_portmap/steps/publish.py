"""What publishing needs besides rules: claims with a record, and no flows that lead elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cni_portmap import NAME
from cni_portmap.steps import claims
from cni_portmap.steps.loopback import need_routing, stop_relaying
from cni_portmap.steps.withdraw import delete_flows, unpublish, withdraw, withdraw_locked
from linkspan.call.records import Records
from linkspan.call.transaction import Undo, attempt, keep

if TYPE_CHECKING:
    from cni_portmap.facts import Publication
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim the publication's ports and record it. Dead owners of the ports are withdrawn.

    `earlier` is what an earlier ADD of the attachment published, which is replaced.
    """

    publication: Publication
    earlier: Publication | None

    def do(self, host: Host) -> Undo:
        attachment = self.publication.attachment
        with claims.lock(host):
            claims.evict_dead_owners(host, self.publication, partial(withdraw_locked, host))
            self._replace(host)
            attempt(host, partial(self._take, host), partial(withdraw_locked, host, attachment))
        return partial(withdraw, host, attachment)

    def _replace(self, host: Host) -> None:
        if self.earlier is not None and self.earlier != self.publication:
            unpublish(host, self.earlier)
            kept = {(each.protocol, each.host_port, each.place) for each in self.publication.all_entries()}
            gone = (
                each
                for each in self.earlier.all_entries()
                if (each.protocol, each.host_port, each.place) not in kept
            )
            claims.release(host, self.earlier.attachment, gone)
            if self.earlier.relays and not self.publication.relays:
                stop_relaying(host, self.earlier.attachment)

    def _take(self, host: Host) -> None:
        Records(host, NAME).write(self.publication.attachment, self.publication.to_record())
        claims.take(host, self.publication)
        if self.publication.routes_loopback():
            need_routing(host, self.publication)


@dataclass(frozen=True, slots=True)
class DeleteFlows:
    """Delete the tracked flows that would keep going where the ports led before."""

    publication: Publication

    def do(self, host: Host) -> Undo:
        delete_flows(host, self.publication, of_container=False)
        return keep
