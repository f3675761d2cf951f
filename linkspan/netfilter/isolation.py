"""An internal network's bridge: traffic is forwarded only between its own ports. Pure."""

from __future__ import annotations

from linkspan.netfilter.rules import Change, Element, Jump, Rule


def elements(bridge: str) -> tuple[Element, ...]:
    """The elements in our nftables table."""
    comment = f"internal network on {bridge}"
    return (
        Element(name="internal_self", key=(bridge, bridge), comment=comment),
        Element(name="internal", key=(bridge,), comment=comment),
    )


def change(bridge: str) -> Change:
    """The rules for iptables, table filter."""
    return Change(jumps=tuple(Jump(chain="FORWARD", rule=rule, first=True) for rule in _rules(bridge)))


def removal(bridge: str) -> Change:
    """What removes those rules."""
    return Change(remove=tuple(("FORWARD", rule) for rule in _rules(bridge)))


def _rules(bridge: str) -> tuple[Rule, Rule]:
    inward = Rule(target="DROP", out_interface=bridge, in_interface=f"! {bridge}")
    outward = Rule(target="DROP", in_interface=bridge, out_interface=f"! {bridge}")
    return inward, outward
