"""Which network a host port leads to that a container publishes on several: that of its best default route.

So connections come in the way that the container's own packets leave, and it reaches its own ports, also
where a runtime ignores policy rules (gVisor). Every network's rules are there; of those for the same port the
ones made last are in effect. The functions are called under the lock of the claims.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cni_portmap import NAME, rules_iptables, rules_nftables
from cni_portmap.facts import Publication, recorded
from cni_portmap.steps import claims
from cni_portmap.steps.loopback import Relay
from linkspan.call.records import Records
from linkspan.call.transaction import Plan, Undo, carry_out, keep
from linkspan.cni.errors import InvalidNetns
from linkspan.steps.iptables import ApplyIptables
from linkspan.steps.nft_table import ApplyNftables

if TYPE_CHECKING:
    from linkspan.host.contract import Host

#: The metric of a network that the container has no default route through.
NO_ROUTE = sys.maxsize


@dataclass(frozen=True, slots=True)
class PreferBestRoute:
    """Have the ports that other networks of the container have too lead to the preferred network."""

    publication: Publication
    netns: str

    def do(self, host: Host) -> Undo:
        # Not under the lock: a network that claims the ports later comes here later.
        if claims.of_same_container(host, self.publication):
            with claims.lock(host):
                self._note_metrics(host)
                serve_preferred(host, self.publication)
        return keep

    def _note_metrics(self, host: Host) -> None:
        """Write the metric of each network's default route into its record: a reload has no namespace."""
        metrics = _metrics(host, self.netns)
        for each in (*others(host, self.publication), self.publication):
            metric = metrics.get(each.attachment.ifname, NO_ROUTE)
            if each.metric != metric:
                content = replace(each, metric=metric).to_record()
                Records(host, NAME).write(each.attachment, content)


def serve_preferred(host: Host, latest: Publication) -> None:
    """Repeat the rules of the networks that are preferred to the one whose rules were made last."""
    noted = recorded(host, latest.attachment) or latest
    for each in others(host, latest):
        if each.metric < noted.metric:
            serve(host, each)


def others(host: Host, publication: Publication) -> list[Publication]:
    """What other networks of the container publish on the same ports, the preferred one last."""
    found = (recorded(host, each) for each in claims.of_same_container(host, publication))
    return sorted((each for each in found if each is not None), key=lambda each: -each.metric)


def serve(host: Host, publication: Publication) -> None:
    """Make the rules of a publication anew, so that they are in effect before those of other networks."""
    carry_out((Relay(publication, _rules),) if publication.relays else _rules(publication), host)


def _rules(publication: Publication) -> Plan:
    """Without an undo: they were there before."""
    if publication.backend == "nftables":
        chains = tuple(rules_nftables.subnet_chains(publication))
        return (ApplyNftables(rules_nftables.change(publication), chains),)
    return tuple(
        ApplyIptables(each, rules_iptables.changes(publication, each)) for each in publication.rule_families
    )


def _metrics(host: Host, netns: str) -> dict[str, int]:
    """The metric of the best default route through each interface, of IPv4 if there are both.

    Empty if the namespace is gone.
    """
    try:
        links = host.links(netns)
    except InvalidNetns:
        return {}
    found: dict[str, int] = {}
    for family in (6, 4):
        routes = [route for route in links.routes(family) if route.is_default]
        found |= {each.ifname: each.priority for each in sorted(routes, key=lambda route: -route.priority)}
    return found
