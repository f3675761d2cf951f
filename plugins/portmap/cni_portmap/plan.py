"""Which steps an ADD takes, and a reload of its rules. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cni_portmap import rules_iptables, rules_nftables
from cni_portmap.facts import Facts, Publication, first_address
from cni_portmap.steps.loopback import Relay, RouteLoopback
from cni_portmap.steps.publish import Claim, DeleteFlows
from cni_portmap.steps.withdraw import Withdraw
from linkspan.cni.addresses import FAMILIES
from linkspan.cni.model import Result
from linkspan.steps.bridge_ports import EnableHairpin
from linkspan.steps.extras import Warn
from linkspan.steps.forwarding import accept_forwarding
from linkspan.steps.iptables import ApplyIptables
from linkspan.steps.nft_table import ApplyNftables

if TYPE_CHECKING:
    from cni_portmap.config import Config
    from linkspan.call.transaction import Plan
    from linkspan.cni.model import Request
    from linkspan.netfilter.backend import Backend


def plan_for(request: Request, config: Config, facts: Facts) -> Plan:
    """Claim the ports, publish them, then delete the flows that led elsewhere.

    Without ports only what an earlier ADD published is withdrawn. Raises InvalidConfig for what the backend
    does not support.
    """
    if facts.backend is None:
        return (Withdraw(request.attachment),) if facts.earlier is not None else ()
    config.check_backend(facts.backend)
    publication = publication_of(request, config, facts, facts.backend)
    return (
        Claim(publication, facts.earlier),
        *rules_of(publication),
        DeleteFlows(publication),
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
    """What the user should know about a publication that succeeds."""
    for address in publication.unreachable():
        yield f"portmap: nothing is published on {address}: the container has no address of that family"
    for each in publication.not_relayed():
        port = f"{each.host_port}/{each.protocol}"
        yield f"portmap: {port} is not published on {each.host_ip}: only tcp and udp are relayed"
    yield from listener_warnings(publication, facts)


def listener_warnings(publication: Publication, facts: Facts) -> Iterator[str]:
    """One line if a process of the host listens on published ports: connections bypass it."""
    published = dict.fromkeys((each.protocol, each.host_port) for each in publication.all_entries())
    shared = [f"{port}/{protocol}" for protocol, port in published if (protocol, port) in facts.listening]
    if shared:
        yield (
            f"portmap: a process of the host listens on {', '.join(shared)}; connections go to container "
            f"{publication.attachment.container_id}"
        )


def _forwarding(publication: Publication) -> Plan:
    if not any(publication.translated(family) for family in FAMILIES):
        return ()
    return (accept_forwarding(publication.interface, publication.families),)


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
