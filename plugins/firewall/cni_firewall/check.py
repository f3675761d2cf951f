"""What CHECK finds wrong. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from cni_firewall import rules_iptables, rules_nftables
from cni_firewall.facts import Admission, current_backend, read_facts, recorded
from cni_firewall.plan import admission_of
from cni_firewall.steps import firewalld
from linkspan.steps import iptables, nft_table
from linkspan.steps.bridge_ports import IsolatePort
from linkspan.steps.forwarding import accept_forwarding

if TYPE_CHECKING:
    from cni_firewall.config import Config
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host


def problems(request: Request, config: Config, host: Host) -> list[str]:
    """The rules that are missing, or are not before those that they must precede."""
    earlier = recorded(host, request.attachment)
    if earlier is not None:
        if earlier.fence and host.links().get(earlier.bridge) is None:
            return [f"the bridge {earlier.bridge} is missing"]
        config = replace(config, backend=current_backend(host, earlier))
    admission = admission_of(request, config, read_facts(request, config, host))
    return list(missing(host, admission))


def missing(host: Host, admission: Admission) -> Iterator[str]:
    """What of an admission's rules is not there, as sentences."""
    for family in admission.in_iptables:
        yield from iptables.missing(host, family, {"filter": rules_iptables.change(admission, family)})
    if admission.backend != "iptables":
        yield from accept_forwarding(admission.interface, admission.families).missing(host)
    if admission.fence == "nftables":
        yield from _missing_isolation(host, admission)
    if admission.policy == "isolated":
        yield from IsolatePort(admission.port).missing(host)
    if admission.backend == "firewalld":
        for each in admission.addresses:
            if not firewalld.has(host, admission.zone, each):
                yield f"{firewalld.source(each)} is not in the zone {admission.zone} of firewalld"


def _missing_isolation(host: Host, admission: Admission) -> Iterator[str]:
    yield from nft_table.missing_rules(host)
    for each in rules_nftables.elements(admission):
        if host.nftables.element(each.name, each.key) is None:
            bridge = each.key[0]
            yield (f"{bridge} is not isolated from other bridges: it is not in the nftables set {each.name}")
    for each in rules_nftables.forbidden(admission):
        if host.nftables.element(each.name, each.key) is not None:
            yield (f"containers of {each.key[0]} can reach each other: it is in the nftables set {each.name}")
