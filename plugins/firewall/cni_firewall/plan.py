"""Which steps an ADD takes, and a reload of its rules. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni_firewall import rules_iptables, rules_nftables
from cni_firewall.facts import Admission, Facts
from cni_firewall.steps.admit import AddToZone, Admit
from linkspan.cni.errors import InvalidConfig
from linkspan.cni.model import Result
from linkspan.steps.bridge_ports import IsolatePort
from linkspan.steps.forwarding import accept_forwarding
from linkspan.steps.iptables import ApplyIptables
from linkspan.steps.nft_table import ApplyNftables

if TYPE_CHECKING:
    from cni_firewall.config import Config
    from linkspan.call.transaction import Plan, Step
    from linkspan.cni.model import Attachment, Request


def plan_for(request: Request, config: Config, facts: Facts) -> Plan:
    """Record the admission, then make its rules. Raises InvalidConfig as `admission_of` does."""
    return admit(request.attachment, admission_of(request, config, facts), facts.earlier)


def admission_of(request: Request, config: Config, facts: Facts) -> Admission:
    """What an ADD with this prevResult admits.

    Raises InvalidConfig if a policy needs a bridge and there is none.
    """
    if config.policy != "open" and not facts.bridge:
        raise InvalidConfig(
            f'$.ingressPolicy: "{config.policy}" needs a bridge, and prevResult has none',
            "list firewall after bridge, or remove ingressPolicy",
        )
    return Admission(
        backend=facts.backend,
        addresses=addresses_of(request),
        admin_chain=config.admin_chain,
        zone=config.zone,
        policy=config.policy,
        bridge=facts.bridge,
        fence=facts.fence,
        port=facts.port,
        chosen=not config.backend,
    )


def addresses_of(request: Request) -> tuple[str, ...]:
    """The container's addresses in prevResult, without prefix length, each once."""
    result = request.prev_result or Result()
    return tuple(dict.fromkeys(each.ip for each in result.addresses_of(request.ifname)))


def admit(attachment: Attachment, admission: Admission, earlier: Admission | None) -> Plan:
    """The steps of an admission that replaces an earlier one."""
    return (Admit(attachment, admission, earlier), *rules_of(admission))


def rules_of(admission: Admission) -> Plan:
    """The steps that make the rules, which is all that a reload repeats. Isolation comes first."""
    steps: list[Step] = []
    if admission.fence == "nftables":
        steps.append(ApplyNftables(rules_nftables.change(admission)))
    if admission.policy == "isolated" and admission.port:
        steps.append(IsolatePort(admission.port))
    # Undone by `Admit`, which knows which attachment an address belongs to.
    steps.extend(
        ApplyIptables(family, {"filter": rules_iptables.change(admission, family)})
        for family in admission.in_iptables
    )
    if admission.backend != "iptables":
        steps.append(accept_forwarding(admission.interface, admission.families))
    if admission.backend == "firewalld":
        steps.append(AddToZone(admission.zone, admission.addresses))
    return tuple(steps)
