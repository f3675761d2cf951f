"""Rules that accept what our bridges forward where the policy of iptables' FORWARD is DROP: Docker and ufw
set it. Pure.

An accept in a table of our own would have no effect: a packet traverses every table, and one drop is final
(nft(8), "VERDICT STATEMENTS"). So these are rules of iptables whichever backend publishes and masquerades.
They are last in FORWARD: decisions of other rules there stay in effect, and only the policy does not apply to
our packets.
"""

from __future__ import annotations

from linkspan.netfilter.rules import Change, Jump, Match, Rule

CHAIN = "LINKSPAN-FORWARD"


def change(interface: str) -> Change:
    """Accept what comes from an interface, and what answers it or was published on it; table filter."""
    own = (Jump(chain=CHAIN, rule=rule) for rule in _rules(interface))
    return Change(shared=(CHAIN,), jumps=(*own, Jump(chain="FORWARD", rule=Rule(target=CHAIN))))


def removal(interface: str) -> Change:
    """What removes the rules of an interface; the chain stays."""
    return Change(remove=tuple((CHAIN, rule) for rule in _rules(interface)))


def _rules(interface: str) -> tuple[Rule, Rule]:
    expected = Match("conntrack", (("ctstate", "RELATED,ESTABLISHED,DNAT"),))
    return (
        Rule(target="ACCEPT", in_interface=interface),
        Rule(target="ACCEPT", out_interface=interface, matches=(expected,)),
    )
