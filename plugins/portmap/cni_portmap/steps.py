"""What an ADD does to the host, one request a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cni_portmap import claims, iptables_rules, nft_rules
from cni_portmap.publication import Publication
from linkspan.call.records import Records
from linkspan.call.transaction import Transaction, Undo, best_effort, keep
from linkspan.cni.addresses import FAMILIES
from linkspan.cni.errors import CniError, KernelRefused
from linkspan.netfilter.nft_table import owned, without_chain
from linkspan.netfilter.rules import Change, Element, Family, NftChange
from linkspan.steps import nft_table

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host

PLUGIN = "portmap"


@dataclass(frozen=True, slots=True)
class Claim:
    """Record the publication and claim its ports, after seeing that they are free. An earlier ADD of it is replaced."""

    publication: Publication

    def do(self, host: Host) -> Undo:
        attachment = self.publication.attachment
        with claims.lock(host):
            claims.make_room(host, self.publication, lambda gone: withdraw_locked(host, gone))
            earlier = recorded(host, attachment)
            if earlier is not None and earlier != self.publication:
                unpublish(host, earlier)
                claims.release_others(host, earlier, self.publication)
            with Transaction(host) as transaction:
                transaction.on_failure(lambda: withdraw_locked(host, attachment))
                Records(host, PLUGIN).write(attachment, self.publication.to_record())
                claims.take(host, self.publication)
        return lambda: withdraw(host, attachment)


@dataclass(frozen=True, slots=True)
class OpenLoopback:
    """Let the host's 127.0.0.1 be routed out to a bridge; what publishes guards it from that bridge before. Never reset."""

    interface: str

    def do(self, host: Host) -> Undo:
        try:
            host.links().set_sysctl(f"ipv4/conf/{self.interface}/route_localnet", "1")
        except KernelRefused as error:
            host.warn(f"portmap: 127.0.0.1 does not reach the container: {error.msg}")
        return keep


@dataclass(frozen=True, slots=True)
class ReflectToSelf:
    """Let the bridge send frames back where they came from: with br_netfilter it bridges, and does not route, what is
    translated to a container behind the same bridge, so the container could not reach its own published port.
    """

    port: str

    def do(self, host: Host) -> Undo:
        host.links().change_port(self.port, hairpin=True)
        return lambda: stop_reflecting(host, self.port)


@dataclass(frozen=True, slots=True)
class PublishByIptables:
    """All rules of one family."""

    publication: Publication
    family: Family

    def do(self, host: Host) -> Undo:
        host.iptables.apply_all(self.family, iptables_rules.changes(self.publication, self.family))
        removals = iptables_rules.removals(self.publication, self.family)
        return lambda: host.iptables.apply_all(self.family, removals)


@dataclass(frozen=True, slots=True)
class PublishByNftables:
    """All elements and chains of both families."""

    publication: Publication

    def do(self, host: Host) -> Undo:
        commands = nft_table.preparation(host, nft_rules.subnet_chains(self.publication))
        host.nftables.apply(nft_rules.change(self.publication, commands))
        return lambda: unpublish(host, self.publication)


@dataclass(frozen=True, slots=True)
class ForgetFlows:
    """Flush the tracked flows that would keep going where the ports led before. A failure is only told."""

    publication: Publication

    def do(self, host: Host) -> Undo:
        forget_flows(host, self.publication, of_container=False)
        return keep


def forget_flows(host: Host, publication: Publication, *, of_container: bool) -> None:
    """Flush the flows of its udp and sctp ports: all, or those that reach its container."""
    flows = tuple(publication.flows(of_container=of_container))
    if not flows:
        return
    try:
        host.conntrack.flush(flows)
    except CniError as error:
        host.warn(f"portmap: flows of earlier containers may live on: {error.msg}")


def stop_reflecting(host: Host, port: str) -> None:
    """Let a bridge port be as it was before `ReflectToSelf`; one that is gone is fine."""
    if not _reflects(host, port):
        return
    try:
        host.links().change_port(port, hairpin=False)
    except KernelRefused:
        # The kernel takes a dead container's links away when it comes to it: between our look and our change, too.
        if _reflects(host, port):
            raise


def _reflects(host: Host, port: str) -> bool:
    link = host.links().get(port)
    return link is not None and bool(link.master) and link.hairpin


def recorded(host: Host, attachment: Attachment) -> Publication | None:
    """The publication that an ADD recorded, or None."""
    record = Records(host, PLUGIN).read(attachment)
    return None if record is None else Publication.from_record(attachment, record)


def unpublish(host: Host, publication: Publication) -> None:
    """Take the rules of a publication back, from the back end that has them. Absent ones are fine."""
    if publication.backend == "nftables":
        _remove_elements(host, publication.attachment, nft_rules.elements(publication))
        return
    best_effort(
        *(_removal(host, each, iptables_rules.removals(publication, each)) for each in publication.families)
    )


def unpublish_by_name(host: Host, attachment: Attachment) -> None:
    """Take the rules of an attachment back that nothing is recorded of: by its chains' names and its elements' comments."""
    removals = iptables_rules.removals_by_name(attachment)
    best_effort(
        *(_removal(host, each, removals) for each in FAMILIES if host.iptables.usable(each)),
        lambda: _remove_elements(host, attachment, _all_elements(host)),
    )


def _removal(host: Host, family: Family, changes: Mapping[str, Change]) -> Undo:
    return lambda: host.iptables.apply_all(family, changes) if changes else None


def withdraw(host: Host, attachment: Attachment) -> None:
    """Take everything of an attachment back that its record tells of: rules, claims, flows, the record."""
    with claims.lock(host):
        withdraw_locked(host, attachment)


def withdraw_locked(host: Host, attachment: Attachment) -> None:
    """`withdraw` for who holds the lock of the claims. The record goes last, and only if all went well."""
    publication = recorded(host, attachment)
    if publication is None:
        unpublish_by_name(host, attachment)
    else:
        best_effort(
            lambda: unpublish(host, publication),
            lambda: forget_flows(host, publication, of_container=True),
            lambda: claims.release(host, publication),
            lambda: _serve_siblings(host, publication),
            lambda: stop_reflecting(host, publication.host_link) if publication.reflects else None,
        )
    Records(host, PLUGIN).remove(attachment)


def _serve_siblings(host: Host, gone: Publication) -> None:
    """A map has one element for a port: let it lead to the same container's other network, which asked for it too."""
    for attachment in claims.siblings(host, gone):
        publication = recorded(host, attachment)
        if publication is not None and publication.backend == "nftables":
            PublishByNftables(publication).do(host)


def _all_elements(host: Host) -> tuple[Element, ...]:
    if not host.nftables.usable():
        return ()
    return tuple(each for name in nft_rules.MAPS for each in host.nftables.elements(name))


def _remove_elements(host: Host, attachment: Attachment, candidates: tuple[Element, ...]) -> None:
    """Those among the candidates whose present element is the attachment's, then the chains that they led to."""
    mine = tuple(
        (each.name, each.key)
        for each in candidates
        if owned(host.nftables.element(each.name, each.key), attachment)
    )
    if not mine:
        return
    host.nftables.apply(NftChange(remove=mine))
    gone = tuple(
        command
        for family in FAMILIES
        if any(name.startswith(f"conditional{family}") for name, _ in mine)
        for command in without_chain(nft_rules.conditional_chain(attachment, family))
    )
    if gone:
        host.nftables.apply(NftChange(commands=gone))
