"""The elements of an admission in our nftables table. Pure.

No rule there drops packets to or from containers, so none needs to accept them: the only elements isolate
bridges. Published connections are exempt (`linkspan.netfilter.nft_table`, chain fence).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkspan.netfilter.rules import Element, NftChange

if TYPE_CHECKING:
    from cni_firewall.facts import Admission


def change(admission: Admission) -> NftChange:
    """What isolates the admission's bridge."""
    return NftChange(
        remove=tuple((each.name, each.key) for each in forbidden(admission)), add=elements(admission)
    )


def elements(admission: Admission) -> tuple[Element, ...]:
    """The elements that must be there."""
    fenced = Element(name="fenced", key=(admission.bridge,), comment=_comment(admission.bridge))
    return (fenced,) if admission.policy == "isolated" else (fenced, _itself(admission))


def forbidden(admission: Admission) -> tuple[Element, ...]:
    """The elements that must not be there."""
    return (_itself(admission),) if admission.policy == "isolated" else ()


def _itself(admission: Admission) -> Element:
    bridge = admission.bridge
    return Element(name="fenced_open", key=(bridge, bridge), comment=_comment(bridge))


def _comment(bridge: str) -> str:
    return f"ingressPolicy of the networks on {bridge}"
