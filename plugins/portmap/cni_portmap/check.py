"""What CHECK finds wrong. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from cni_portmap import rules_iptables, rules_nftables
from cni_portmap.facts import Publication, read_facts, recorded
from cni_portmap.plan import publication_of, warnings
from cni_portmap.steps import claims
from cni_portmap.steps.loopback import RouteLoopback
from linkspan.cni.addresses import FAMILIES
from linkspan.netfilter import relay
from linkspan.netfilter.nft_table import owned
from linkspan.steps import iptables, nft_table
from linkspan.steps.forwarding import accept_forwarding
from linkspan.steps.relay import relayed

if TYPE_CHECKING:
    from cni_portmap.config import Config
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host
    from linkspan.netfilter.relay import RelayedPort
    from linkspan.netfilter.rules import Element


def problems(request: Request, config: Config, host: Host) -> list[str]:
    """The rules that are missing, or lead elsewhere than to the addresses in prevResult.

    What ADD warns of is a warning here too. Runtimes may leave out the ports: then they are those of ADD.
    """
    earlier = recorded(host, request.attachment)
    if earlier is not None:
        config = replace(config if config.mappings else earlier.config, backend=earlier.backend)
    facts = read_facts(request, config, host)
    if facts.backend is None:
        return []
    publication = publication_of(request, config, facts, facts.backend)
    for each in warnings(publication, facts):
        host.warn(each)
    return missing(host, publication)


def _not_relayed(
    host: Host, expected: Iterable[RelayedPort], present: Iterable[RelayedPort]
) -> Iterator[str]:
    """The ports that are not relayed as they should be, as sentences; without IPv6 those of ::1 are not."""
    without_ipv6 = host.links().sysctl("ipv6/conf/lo/disable_ipv6") != "0"
    targets = {each.key: (each.address, each.container_port) for each in present}
    for each in expected:
        if targets.get(each.key) != (each.address, each.container_port) and not (
            each.family == 6 and without_ipv6
        ):
            where = each.host_ip or relay.LOOPBACK[each.family]
            yield f"{each.host_port}/{each.protocol} of {where} is not relayed to {each.address}"


def incomplete(host: Host, publication: Publication) -> list[str]:
    """What of a publication is not there, as sentences: rules, and what the host is to do besides."""
    routes = publication.routes_loopback()
    found = RouteLoopback(publication.interface).missing(host) if routes else []
    port = host.links().get(publication.host_link) if publication.hairpin else None
    if port is not None and port.master and not port.hairpin:
        found.append(f"{port.name} has hairpin mode off")
    return [*missing(host, publication), *found]


def missing(host: Host, publication: Publication) -> list[str]:
    """What of a publication's rules is not there, and which ports are not relayed, as sentences."""
    if not publication.relays:
        return _missing(host, publication)
    expected = publication.relayed_ports()
    present = relayed(host, publication.attachment)
    return [*_not_relayed(host, expected, present), *_missing(host, replace(publication, relayed=present))]


def _missing(host: Host, publication: Publication) -> list[str]:
    found = _missing_elements if publication.backend == "nftables" else _missing_rules
    accepted = publication.families if any(map(publication.translated, FAMILIES)) else ()
    forwarding = accept_forwarding(publication.interface, accepted, admitted=False)
    return [*found(host, publication), *forwarding.missing(host)]


def _missing_rules(host: Host, publication: Publication) -> list[str]:
    return [
        sentence
        for family in publication.rule_families
        for sentence in iptables.missing(host, family, rules_iptables.changes(publication, family))
    ]


def _missing_elements(host: Host, publication: Publication) -> list[str]:
    chains = (*rules_nftables.subnet_chains(publication), *rules_nftables.conditional_chains(publication))
    elements = (*rules_nftables.shared_elements(publication), *_own_elements(host, publication))
    return [
        *nft_table.missing_rules(host),
        *nft_table.missing_chains(host, chains),
        *nft_table.missing_elements(host, elements),
    ]


def _own_elements(host: Host, publication: Publication) -> Iterator[Element]:
    """A publication's elements, without those that lead to its container through another network.

    That network's list has the same port.
    """
    others = claims.of_same_container(host, publication)
    for each in rules_nftables.elements(publication):
        present = host.nftables.element(each.name, each.key) if others else None
        if not any(owned(present, other) for other in others):
            yield each
