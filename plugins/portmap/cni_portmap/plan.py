"""Which steps an ADD takes, and a reload of its rules. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cni_portmap import rules_iptables, rules_nftables
from cni_portmap.config import DEFAULT_MARK_BIT, shadowed
from cni_portmap.facts import Facts, Publication, first_address
from cni_portmap.steps.loopback import Relay, RouteLoopback
from cni_portmap.steps.preferred import PreferBestRoute
from cni_portmap.steps.publish import Claim, DeleteFlows
from cni_portmap.steps.withdraw import Withdraw
from linkspan.cni.addresses import FAMILIES
from linkspan.cni.errors import PortTaken
from linkspan.cni.model import Result
from linkspan.steps.bridge_ports import EnableHairpin
from linkspan.steps.extras import Warn
from linkspan.steps.forwarding import accept_forwarding
from linkspan.steps.iptables import ApplyIptables
from linkspan.steps.nft_table import ApplyNftables

if TYPE_CHECKING:
    from cni_portmap.config import Config
    from cni_portmap.facts import Entry
    from linkspan.call.transaction import Plan
    from linkspan.cni.model import Request
    from linkspan.netfilter.backend import Backend
    from linkspan.steps.listeners import Occupant


def plan_for(request: Request, config: Config, facts: Facts) -> Plan:
    """Claim the ports, publish them, then delete the flows that led elsewhere.

    Without ports only what an earlier ADD published is withdrawn. Raises InvalidConfig for what the backend
    does not support, PortTaken for a port on which somebody else listens if the configuration refuses such.
    """
    if facts.backend is None:
        return (Withdraw(request.attachment),) if facts.earlier is not None else ()
    config.check_backend(facts.backend)
    publication = publication_of(request, config, facts, facts.backend)
    if config.refuse_taken_ports:
        _refuse_taken(publication, facts)
    return (
        Claim(publication, facts.earlier),
        *rules_of(publication),
        PreferBestRoute(publication, request.netns),
        DeleteFlows(publication),
        *(Warn(f"portmap: {each}") for each in shadowed(request, config)),
        *(Warn(each) for each in warnings(publication, facts)),
    )


def publication_of(request: Request, config: Config, facts: Facts, backend: Backend) -> Publication:
    """What an ADD with this prevResult publishes."""
    result = request.prev_result or Result()
    return Publication(
        attachment=request.attachment,
        backend=backend,
        config=config,
        address4=first_address(result, request.ifname, 4),
        address6=first_address(result, request.ifname, 6),
        host_link=facts.host_link,
        interface=facts.interface,
        hairpin=facts.needs_hairpin or (facts.earlier is not None and facts.earlier.hairpin),
    )


def rules_of(publication: Publication) -> Plan:
    """The steps that make the rules, which is all that a reload repeats."""
    return (
        *_forwarding(publication),
        *((Relay(publication, _publishing),) if publication.relays else _publishing(publication)),
        *((RouteLoopback(publication.interface),) if publication.routes_loopback() else ()),
        *((EnableHairpin(publication.host_link),) if publication.hairpin else ()),
    )


def warnings(publication: Publication, facts: Facts) -> Iterator[str]:
    """What was asked for and is not done although the publication succeeds, and who listens on its ports."""
    yield from dict.fromkeys(_not_published(publication))
    if publication.config.drop_direct_access and not publication.families:
        yield f"portmap: direct access is not dropped: {_no_address(publication)}"
    if publication.backend == "nftables" and publication.config.mark_bit != DEFAULT_MARK_BIT:
        yield "portmap: markMasqBit has no effect: the nftables backend marks no packets"
    yield from _not_on_loopback(publication)
    yield from _listener_warnings(publication, facts)


def _not_published(publication: Publication) -> Iterator[str]:
    for each in publication.without_address():
        if publication.families:
            missing = "the container has no address of that family"
            yield f"portmap: nothing is published on {each.host_ip}: {missing}"
        else:
            port = f"{each.host_port}/{each.protocol}"
            yield f"portmap: {port} is not published: {_no_address(publication)}"


def _no_address(publication: Publication) -> str:
    return f"prevResult has no address of {publication.attachment.ifname} in the container"


def _not_on_loopback(publication: Publication) -> Iterator[str]:
    """The ports of one loopback address that do not lead to the container from there."""
    for each in publication.not_relayed():
        port = f"{each.host_port}/{each.protocol}"
        yield f"portmap: {port} is not published on {each.host_ip}: only tcp and udp are relayed"
    if publication.relays or publication.routes_loopback():
        return
    why = "snat is false" if not publication.config.snat else "the host has no route to the container"
    for each in publication.entries(4):
        if each.on_loopback:
            port = f"{each.host_port}/{each.protocol}"
            yield f"portmap: {port} of {each.host_ip} does not reach the container: {why}"


def _listener_warnings(publication: Publication, facts: Facts) -> Iterator[str]:
    """One line if somebody else's process listens on published ports: connections bypass it."""
    shared = dict.fromkeys(f"{each.host_port}/{each.protocol}" for each, _ in _taken(publication, facts))
    if shared:
        yield (
            f"portmap: a process of the host listens on {', '.join(shared)}; connections go to container "
            f"{publication.attachment.short_id}"
        )


def _refuse_taken(publication: Publication, facts: Facts) -> None:
    for entry, occupant in _taken(publication, facts):
        raise PortTaken(
            f"host port {entry.host_port}/{entry.protocol} is in use by {occupant}",
            "choose another host port, or stop that program",
        )


def _taken(publication: Publication, facts: Facts) -> Iterator[tuple[Entry, Occupant]]:
    """The published ports on which somebody else listens, with each such socket."""
    for entry in publication.all_entries():
        for occupant in facts.occupants:
            listener = occupant.listener
            same = (listener.protocol, listener.port) == (entry.protocol, entry.host_port)
            if same and listener.overlaps(entry.family, entry.host_ip):
                yield entry, occupant


def _forwarding(publication: Publication) -> Plan:
    if not any(publication.translated(family) for family in FAMILIES):
        return ()
    # Whose bridge it is, portmap does not know: whatever else may reach it is for others to accept.
    return (accept_forwarding(publication.interface, publication.families, admitted=False),)


def _publishing(publication: Publication) -> Plan:
    if publication.backend == "nftables":
        chains = tuple(rules_nftables.subnet_chains(publication))
        return (ApplyNftables(rules_nftables.change(publication), chains, publication.attachment),)
    return tuple(
        ApplyIptables(
            family, rules_iptables.changes(publication, family), rules_iptables.removals(publication, family)
        )
        for family in publication.rule_families
    )
