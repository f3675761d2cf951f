"""Rules that accept queries to the name server where the policy of iptables' INPUT is DROP: ufw sets it.
Pure.

As in `linkspan.netfilter.forwarding` these rules are last in INPUT: decisions of other rules there stay in
effect.
"""

from __future__ import annotations

from linkspan.cni.addresses import by_family
from linkspan.netfilter.rules import Change, Jump, Match, Rule
from linkspan.steps.forwarding import AcceptDespitePolicy

CHAIN = "LINKSPAN-INPUT"
_PORT = (("dport", "53"),)


def permit_questions(bridge: str, gateways: tuple[str, ...]) -> AcceptDespitePolicy:
    """The step that accepts what a bridge ("": any interface) brings for port 53 of these gateways."""
    wanted = {family: rules(bridge, own) for family, own in by_family(gateways).items()}
    return AcceptDespitePolicy(
        "INPUT", wanted, f"DNS queries to {', '.join(gateways)} port 53 may be dropped"
    )


def rules(bridge: str, gateways: tuple[str, ...]) -> Change:
    """The rules for gateways of one family, table filter."""
    accepted = [
        Rule(
            target="ACCEPT",
            in_interface=bridge,
            destination=each,
            protocol=protocol,
            matches=(Match(protocol, _PORT),),
        )
        for each in gateways
        for protocol in ("udp", "tcp")
    ]
    return Change(
        shared=(CHAIN,),
        jumps=(
            *(Jump(chain=CHAIN, rule=each) for each in accepted),
            Jump(chain="INPUT", rule=Rule(target=CHAIN)),
        ),
    )
