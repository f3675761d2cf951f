"""An isolated network: from elsewhere only published connections and replies are forwarded to its link. Pure.

The link is that which the network's packets are routed to: its bridge, or the bridge's link in a VLAN.
"""

from __future__ import annotations

from linkspan.netfilter.rules import Change, Element, Jump, Match, Rule

#: The chains in our nftables table that drop what may not enter.
CHAINS = ("forward", "closing")


def elements(link: str) -> tuple[Element, ...]:
    """The elements in our nftables table. With br_netfilter, packets between its ports are forwarded too."""
    comment = f"isolated network on {link}"
    return (
        Element(name="open", key=(link, link), comment=comment),
        Element(name="closed", key=(link,), comment=comment),
    )


def change(link: str) -> Change:
    """The rule for iptables, table filter, of a host without nftables."""
    return Change(jumps=(Jump(chain="FORWARD", rule=_rule(link), first=True),))


def removal(link: str) -> Change:
    """What removes that rule."""
    return Change(remove=(("FORWARD", _rule(link)),))


def _rule(link: str) -> Rule:
    unexpected = Match("conntrack", (("! ctstate", "RELATED,ESTABLISHED,DNAT"),))
    return Rule(target="DROP", in_interface=f"! {link}", out_interface=link, matches=(unexpected,))
