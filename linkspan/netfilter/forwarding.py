"""Rules that accept what our bridges forward where the policy of iptables' FORWARD is DROP: Docker and ufw
set it. Pure.

An accept in a table of our own would have no effect: a packet traverses every table, and one drop is final
(nft(8), "VERDICT STATEMENTS"). So these are rules of iptables whichever backend publishes and masquerades.
They are last in FORWARD: decisions of other rules there stay in effect, and only the policy does not apply to
our packets.

    LINKSPAN-FORWARD  from a bridge: LINKSPAN-ONWARD; to it: replies and published connections
    LINKSPAN-ONWARD   replies and published connections, whatever leads to a bridge that is admitted,
                      LINKSPAN-UPLINKS
    LINKSPAN-UPLINKS  whatever leaves by a link to other hosts

What leads to any other bridge is left to the policy, and so to whoever set it: it is how Docker closes ports
that are not published.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from linkspan.netfilter.iptables_text import render
from linkspan.netfilter.rules import Change, Jump, Match, Rule

CHAIN, ONWARD, UPLINKS = "LINKSPAN-FORWARD", "LINKSPAN-ONWARD", "LINKSPAN-UPLINKS"

_EXPECTED = (Match("conntrack", (("ctstate", "RELATED,ESTABLISHED,DNAT"),)),)


def change(interface: str, uplinks: Iterable[str], *, admitted: bool = True) -> Change:
    """Accept what comes from an interface to uplinks and admitted interfaces, and what answers it or was
    published on it; table filter.

    `uplinks` are all that there are, as iptables matches them: `ppp+` is any name that begins with ppp. The
    interface itself is `admitted` or not. The rule of earlier versions is replaced.
    """
    return Change(
        remove=((CHAIN, _of_earlier_versions(interface)),),
        shared=(CHAIN, ONWARD),
        own=((UPLINKS, tuple(_to(each) for each in uplinks)),),
        jumps=_jumps(interface, admitted=admitted),
    )


def expected(interface: str, uplinks: Iterable[str], *, admitted: bool = True) -> Change:
    """What must be there of `change`: an uplink that is gone may still be listed."""
    listed = (Jump(chain=UPLINKS, rule=_to(each)) for each in uplinks)
    return Change(shared=(CHAIN, ONWARD, UPLINKS), jumps=(*_jumps(interface, admitted=admitted), *listed))


def removal(interface: str) -> Change:
    """What removes the rules of an interface; the chains stay."""
    rules = (*_rules(interface), _of_earlier_versions(interface))
    return Change(remove=(*((CHAIN, rule) for rule in rules), (ONWARD, _to(interface))))


def has_rule_of_earlier_versions(present: Mapping[str, tuple[str, ...]], interface: str) -> bool:
    """Whether table filter, as iptables-save prints it, still accepts whatever comes from the interface."""
    return render(_of_earlier_versions(interface)) in present.get(CHAIN, ())


def _jumps(interface: str, *, admitted: bool) -> tuple[Jump, ...]:
    return (
        *(Jump(chain=CHAIN, rule=rule) for rule in _rules(interface)),
        Jump(chain=ONWARD, rule=Rule(target="ACCEPT", matches=_EXPECTED)),
        Jump(chain=ONWARD, rule=Rule(target=UPLINKS)),
        *((Jump(chain=ONWARD, rule=_to(interface)),) if admitted else ()),
        Jump(chain="FORWARD", rule=Rule(target=CHAIN)),
    )


def _rules(interface: str) -> tuple[Rule, Rule]:
    return (
        Rule(target=ONWARD, in_interface=interface),
        Rule(target="ACCEPT", out_interface=interface, matches=_EXPECTED),
    )


def _to(link: str) -> Rule:
    return Rule(target="ACCEPT", out_interface=link)


def _of_earlier_versions(interface: str) -> Rule:
    """It accepted what leads to anybody's bridge, too."""
    return Rule(target="ACCEPT", in_interface=interface)
