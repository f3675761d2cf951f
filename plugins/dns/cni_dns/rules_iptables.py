"""Rules that accept queries to the name server where the policy of INPUT is DROP, as ufw sets it. Pure.

As in `linkspan.netfilter.forwarding` these rules are last in INPUT: decisions of other rules there stay in
effect.
"""

from __future__ import annotations

from linkspan.netfilter.rules import Change, Jump, Match, Rule

CHAIN = "LINKSPAN-INPUT"
_PORT = (("dport", "53"),)


def rules(bridge: str, gateways: tuple[str, ...]) -> Change:
    """The rules of table filter for gateways of one family, and what a bridge ("": any interface) brings."""
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
