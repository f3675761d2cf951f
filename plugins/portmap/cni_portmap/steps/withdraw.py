"""Withdrawing what an attachment published: its rules, claims, tracked flows and record."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cni_portmap import NAME, rules_iptables, rules_nftables
from cni_portmap.facts import Publication, recorded
from cni_portmap.steps import claims, preferred
from cni_portmap.steps.loopback import stop_relaying, stop_routing
from linkspan.call.records import Records
from linkspan.call.transaction import Undo, best_effort, keep
from linkspan.cni.addresses import FAMILIES
from linkspan.steps import iptables, nft_table
from linkspan.steps.bridge_ports import disable_hairpin
from linkspan.steps.extras import optional

if TYPE_CHECKING:
    from collections.abc import Iterable

    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host
    from linkspan.netfilter.rules import Element


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Withdraw what an earlier ADD published. Never undone: the configuration no longer has it."""

    attachment: Attachment

    def do(self, host: Host) -> Undo:
        withdraw(host, self.attachment)
        return keep


def withdraw(host: Host, attachment: Attachment) -> None:
    """Remove everything of an attachment. The record is removed last, and only if nothing else failed."""
    with claims.lock(host):
        withdraw_locked(host, attachment)


def withdraw_locked(host: Host, attachment: Attachment) -> None:
    """`withdraw` for a caller that holds the lock of the claims."""
    publication = recorded(host, attachment)
    if publication is None:
        best_effort(
            partial(unpublish_by_name, host, attachment),
            partial(claims.release_all, host, attachment),
            partial(stop_relaying, host, attachment),
        )
    else:
        best_effort(
            partial(unpublish, host, publication),
            partial(delete_flows, host, publication, of_container=True),
            partial(claims.release, host, attachment, publication.all_entries()),
            partial(_serve_others, host, publication),
            partial(disable_hairpin, host, publication.host_link) if publication.hairpin else keep,
            partial(stop_relaying, host, attachment) if publication.relays else keep,
        )
    Records(host, NAME).remove(attachment)


def unpublish(host: Host, publication: Publication) -> None:
    """Remove the rules of a publication; absent ones are fine. Under the lock of the claims."""
    attachment = publication.attachment
    if publication.backend == "nftables":
        elements = rules_nftables.elements(publication)
        rules = partial(_remove_elements, host, attachment, elements)
    else:
        removals = {each: rules_iptables.removals(publication, each) for each in publication.rule_families}
        rules = partial(iptables.remove, host, removals)
    best_effort(rules, partial(stop_routing, host, attachment))


def unpublish_by_name(host: Host, attachment: Attachment) -> None:
    """Remove the rules of an attachment by the names of chains and the comments of elements."""
    removals = dict.fromkeys(FAMILIES, rules_iptables.removals_by_name(attachment))
    best_effort(
        partial(_remove_commented, host, attachment),
        partial(iptables.remove, host, removals),
        partial(stop_routing, host, attachment),
    )


def _remove_commented(host: Host, attachment: Attachment) -> None:
    _remove_elements(host, attachment, nft_table.elements_of(host, attachment, rules_nftables.MAPS))


def delete_flows(host: Host, publication: Publication, *, of_container: bool) -> None:
    """Delete the tracked flows of its udp and sctp ports: all, or those that reach its container."""
    flows = tuple(publication.flows(of_container=of_container))
    if flows:
        consequence = "portmap: flows of earlier containers may continue"
        optional(host, consequence, partial(host.conntrack.flush, flows))


def _remove_elements(host: Host, attachment: Attachment, candidates: Iterable[Element]) -> None:
    """Those among the candidates that are the attachment's, then the chains that they led to."""
    nft_table.remove(host, candidates, attachment)
    nft_table.remove_chains(
        host, (rules_nftables.conditional_chain(attachment, family) for family in FAMILIES)
    )


def _serve_others(host: Host, gone: Publication) -> None:
    """Let ports that another network of the container has too lead there: a map has one element for each."""
    for each in preferred.others(host, gone):
        if each.backend == "nftables":
            preferred.serve(host, each)
