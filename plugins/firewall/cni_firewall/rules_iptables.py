"""The rules of an admission for iptables, table filter: names, comments, shapes and order of the reference.
Pure.

    FORWARD                CNI-ISOLATION-STAGE-1, then (not before it) CNI-FORWARD
    CNI-FORWARD            the administrator's chain, then three rules for each address
    CNI-ISOLATION-STAGE-1  published connections: RETURN; from such a bridge to any other: STAGE-2;
                           from an isolated bridge to itself: DROP
    CNI-ISOLATION-STAGE-2  to such a bridge: DROP

"Such a bridge" has the policy same-bridge or isolated. The reference has no rule for published connections in
CNI-FORWARD, so with a policy of DROP published ports are closed, and none in STAGE-1, so other networks
cannot use them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from linkspan.netfilter.iptables_names import comment
from linkspan.netfilter.rules import Change, Jump, Match, Rule

if TYPE_CHECKING:
    from cni_firewall.facts import Admission
    from linkspan.cni.addresses import Family

FORWARD, STAGE_1, STAGE_2 = "CNI-FORWARD", "CNI-ISOLATION-STAGE-1", "CNI-ISOLATION-STAGE-2"

_RULES = "CNI firewall plugin rules"
_ADMIN = "CNI firewall plugin admin overrides"
_BOTH_POLICIES = f"{_RULES} (ingressPolicy: same-bridge|isolated)"
_PUBLISHED = f"{_RULES} (published ports)"
#: Matches connections whose destination was translated, in both directions: what portmap publishes.
_TRANSLATED = Match("conntrack", (("ctstate", "DNAT"),))
_REPLIES = Match("conntrack", (("ctstate", "RELATED,ESTABLISHED"),))


def change(admission: Admission, family: Family) -> Change:
    """Everything of one family, in one transaction. Repeating it changes nothing."""
    parts: list[Change] = []
    if admission.backend == "iptables":
        parts.append(_accepting(admission, family))
    if admission.fence == "iptables":
        parts.append(_isolating(admission))
    return Change(
        remove=tuple(each for part in parts for each in part.remove),
        shared=tuple(each for part in parts for each in part.shared),
        jumps=tuple(each for part in parts for each in part.jumps),
    )


def removal(addresses: tuple[str, ...]) -> Change:
    """What removes the rules of these addresses (of one family); what is shared stays."""
    return Change(remove=tuple((FORWARD, rule) for each in addresses for rule in _rules_of(each)))


def _accepting(admission: Admission, family: Family) -> Change:
    rules = (rule for each in admission.of_family(family) for rule in _rules_of(each))
    return Change(
        shared=(FORWARD, admission.admin_chain),
        jumps=(
            Jump(chain="FORWARD", rule=Rule(target=FORWARD, matches=(comment(_RULES),)), first=True),
            Jump(
                chain=FORWARD,
                rule=Rule(target=admission.admin_chain, matches=(comment(_ADMIN),)),
                first=True,
            ),
            *(Jump(chain=FORWARD, rule=rule) for rule in rules),
        ),
    )


def _rules_of(address: str) -> Iterator[Rule]:
    yield Rule(target="ACCEPT", destination=address, matches=(_REPLIES,))
    yield Rule(target="ACCEPT", source=address)
    yield Rule(target="ACCEPT", destination=address, matches=(_TRANSLATED,))


def _isolating(admission: Admission) -> Change:
    shared = (comment(_BOTH_POLICIES),)
    inward, outward = _of_policy(admission.bridge, admission.policy)
    isolated = admission.policy == "isolated"
    returned = Rule(target="RETURN", matches=shared)
    # A bridge may have had the other policy before.
    replaced = () if isolated else _of_policy(admission.bridge, "isolated")
    return Change(
        remove=tuple((STAGE_1, each) for each in replaced),
        shared=(STAGE_1, STAGE_2),
        jumps=(
            Jump(chain="FORWARD", rule=Rule(target=STAGE_1, matches=shared), first=True),
            Jump(chain=STAGE_1, rule=outward, first=True),
            *((Jump(chain=STAGE_1, rule=inward, first=True),) if isolated else ()),
            Jump(
                chain=STAGE_1,
                rule=Rule(target="RETURN", matches=(_TRANSLATED, comment(_PUBLISHED))),
                first=True,
            ),
            Jump(chain=STAGE_1, rule=returned),
            Jump(chain=STAGE_2, rule=_drop_to(admission.bridge), first=True),
            Jump(chain=STAGE_2, rule=returned),
        ),
    )


def isolation_removal(bridge: str) -> Change:
    """What removes the isolation of a bridge, whatever its policy; table filter."""
    first = (*_of_policy(bridge, "same-bridge"), *_of_policy(bridge, "isolated"))
    return Change(remove=(*((STAGE_1, each) for each in first), (STAGE_2, _drop_to(bridge))))


def _of_policy(bridge: str, policy: str) -> tuple[Rule, Rule]:
    """The rules for what a bridge sends to itself and to others; the first only with the policy
    `isolated`.
    """
    own = (comment(f"{_RULES} (ingressPolicy: {policy})"),)
    return (
        Rule(target="DROP", in_interface=bridge, out_interface=bridge, matches=own),
        Rule(target=STAGE_2, in_interface=bridge, out_interface=f"! {bridge}", matches=own),
    )


def _drop_to(bridge: str) -> Rule:
    return Rule(target="DROP", out_interface=bridge, matches=(comment(_BOTH_POLICIES),))
