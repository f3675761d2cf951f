"""The elements of an admission in our nftables table. Pure.

Nothing there drops what a container sends or is sent, so nothing needs to be accepted: only fences are elements. Published
connections pass them (`linkspan.netfilter.nft_table`, chain fence).
"""

from __future__ import annotations

from cni_firewall.admission import Admission
from linkspan.netfilter.rules import Element, NftChange


def change(admission: Admission, commands: tuple[str, ...] = ()) -> NftChange:
    """The fence around the admission's bridge, after `commands`."""
    itself = _itself(admission)
    return NftChange(
        commands=commands,
        remove=((itself.name, itself.key),) if admission.policy == "isolated" else (),
        add=elements(admission),
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
