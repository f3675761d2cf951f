"""The steps of an ADD, and of the rebuilding of its rules. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni_portmap.steps import (
    Claim,
    ForgetFlows,
    OpenLoopback,
    PublishByIptables,
    PublishByNftables,
    ReflectToSelf,
)
from linkspan.steps.forwarding import accept_forwarding

if TYPE_CHECKING:
    from cni_portmap.publication import Publication
    from linkspan.call.transaction import Plan


def plan_for(publication: Publication) -> Plan:
    """Claim the ports, publish them, then forget the flows that led elsewhere."""
    return (Claim(publication), *rules_of(publication), ForgetFlows(publication))


def rules_of(publication: Publication) -> Plan:
    """The steps that make the rules, which is all that a reload repeats."""
    published = bool(publication.all_entries())
    return (
        *((accept_forwarding(publication.interface, publication.families),) if published else ()),
        *_publishing(publication),
        *((OpenLoopback(publication.interface),) if publication.needs_loopback() else ()),
        *((ReflectToSelf(publication.host_link),) if publication.reflects else ()),
    )


def _publishing(publication: Publication) -> Plan:
    if publication.backend == "nftables":
        return (PublishByNftables(publication),)
    return tuple(PublishByIptables(publication, family) for family in publication.families)
