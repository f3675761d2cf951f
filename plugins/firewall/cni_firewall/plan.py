"""The steps of an ADD, and what is known before them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cni_firewall import firewalld, iptables_rules
from cni_firewall.admission import Admission, families_of
from cni_firewall.config import Backend, Config
from cni_firewall.steps import Admit, AdmitToZone, ApplyIptables, Fence, IsolatePort
from linkspan import backend as packet_backend
from linkspan.errors import InvalidConfig, ToolMissing
from linkspan.model import Result
from linkspan.plan import Plan, Step

if TYPE_CHECKING:
    from linkspan.host.contract import Host, Link
    from linkspan.model import Attachment, Request
    from linkspan.rules import Family


def choose(host: Host, asked: str) -> Backend:
    """The back end for `$.backend`: firewalld where it runs, else iptables where it works, else nftables. Raises ToolMissing."""
    if asked not in ("", "firewalld"):
        return packet_backend.choose(host, asked)
    if firewalld.runs(host):
        return "firewalld"
    if asked:
        raise ToolMissing(
            '$.backend: "firewalld" does not answer on this host', "start firewalld, or leave the key out"
        )
    return packet_backend.choose(host, "")


def admission_for(request: Request, config: Config, backend: Backend, host: Host) -> Admission:
    """What an ADD with this prevResult admits. Raises InvalidConfig if a policy needs a bridge and there is none."""
    result = request.prev_result or Result()
    admission = Admission(
        backend=backend,
        addresses=tuple(dict.fromkeys(each.ip for each in result.addresses_of(request.ifname))),
        admin_chain=config.admin_chain,
        zone=config.zone,
        policy=config.policy,
    )
    links = _host_side(result, host)
    port = next((each.name for each in links if each.kind != "bridge"), "")
    if config.policy == "open":
        return as_of_now(replace(admission, port=port), host)
    fence = packet_backend.choose(host, "") if backend == "firewalld" else backend
    fenced = replace(admission, port=port, fence=fence, bridge=_bridge(links, config, host))
    return as_of_now(fenced, host)


def as_of_now(admission: Admission, host: Host) -> Admission:
    """The admission with those families accepted in iptables that need it now, besides those that were before."""
    accepted = tuple(
        family
        for family in admission.families
        if admission.backend == "iptables" or family in admission.accepted or iptables_may_drop(host, family)
    )
    return replace(admission, accepted=accepted)


def iptables_may_drop(host: Host, family: Family) -> bool:
    """Whether somebody else's iptables could drop what we let pass: nothing that nftables accepts is accepted for good.

    So it is with Docker, ufw, or a FORWARD chain that ends in REJECT.
    """
    if not host.iptables.usable(family):
        return False
    if host.iptables.policy(family, "filter", "FORWARD") != "ACCEPT":
        return True
    rules = host.iptables.rules(family, "filter").get("FORWARD", ())
    return not all(iptables_rules.is_ours(each) for each in rules)


def plan_for(attachment: Attachment, admission: Admission) -> Plan:
    """Record it, then make it so."""
    return (Admit(attachment, admission), *rules_of(admission))


def rules_of(admission: Admission) -> Plan:
    """The steps that make the rules, which is all that a reload repeats. Fences come first: there is no moment without."""
    steps: list[Step] = []
    if admission.fence == "nftables":
        steps.append(Fence(admission))
    if admission.policy == "isolated" and admission.port:
        steps.append(IsolatePort(admission.port))
    steps.extend(ApplyIptables(admission, family) for family in admission.in_iptables)
    if admission.backend == "firewalld":
        steps.append(AdmitToZone(admission.zone, admission.addresses))
    return tuple(steps)


def leftover(request: Request, host: Host) -> Admission | None:
    """What a DEL without a record can still find by prevResult: rules of the reference, or of a state that was lost."""
    result = request.prev_result or Result()
    config = Config.of_delete(request)
    addresses = tuple(dict.fromkeys(each.ip for each in result.addresses_of(request.ifname)))
    if not addresses:
        return None
    zoned = config.backend in ("", "firewalld") and firewalld.runs(host)
    return Admission(
        backend="firewalld" if zoned else "iptables",
        addresses=addresses,
        accepted=tuple(each for each in families_of(addresses) if host.iptables.usable(each)),
        zone=config.zone,
    )


def _host_side(result: Result, host: Host) -> tuple[Link, ...]:
    links = host.links()
    found = (links.get(each.name) for each in result.host_side())
    return tuple(each for each in found if each is not None)


def _bridge(links: tuple[Link, ...], config: Config, host: Host) -> str:
    """The bridge among the links, or the one that a link among them is a port of."""
    for link in links:
        master = (
            link if link.kind == "bridge" else host.links().by_index(link.master) if link.master else None
        )
        if master is not None and master.kind == "bridge":
            return master.name
    raise InvalidConfig(
        f'$.ingressPolicy: "{config.policy}" needs a bridge, and prevResult has none',
        "list firewall after bridge, or leave ingressPolicy out",
    )
