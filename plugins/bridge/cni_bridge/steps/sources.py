"""Source routing: on several networks, each address of a container sends by the interface that has it.

The main table has one best default route, and a direct route to each network. A reply to whoever reached the
container by another network would leave by the wrong interface, with an address that strict reverse-path
filters, the host's translation and the asker do not expect there. So an interface with a default route gets a
table with its own routes, and a rule for each of its addresses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from linkspan.call.transaction import Step, Undo, attempt, best_effort, carry_out, keep
from linkspan.cni.addresses import FAMILIES, Family, by_family, without_prefix
from linkspan.cni.errors import InvalidNetns, KernelRefused
from linkspan.cni.model import Attachment
from linkspan.host.contract import KernelRoute, PolicyRule

if TYPE_CHECKING:
    from linkspan.host.contract import Host, Links

#: Of our rules: between those of the local table (0) and of main (32766).
PRIORITY = 20000
#: An interface's table has this number and its index, or, if that is in use, the next one at this distance.
_FIRST_TABLE, _DISTANCE = 10000, 100000


@dataclass(frozen=True, slots=True)
class RouteBySource:
    """Give an interface its table, and its addresses their rules, for each family that it has a default route
    of. What is there stays.

    If the kernel refuses any of it, there is none of it, and a warning.
    """

    netns: str
    ifname: str

    def do(self, host: Host) -> Undo:
        try:
            return carry_out(self._steps(host.links(self.netns)), host)
        except KernelRefused as error:
            host.warn(f"bridge: replies from {self.ifname} may leave by another interface: {error.msg}")
            return keep

    def _steps(self, links: Links) -> Iterator[Step]:
        link = links.get(self.ifname)
        if link is None:
            return
        for family, own in by_family(links.addresses(self.ifname)).items():
            routes = routes_of(links, family, self.ifname)
            present = {rule.source for rule in rules_of(links, family)}
            missing = [each for each in map(without_prefix, own) if each not in present]
            if not missing or not any(each.is_default for each in routes):
                continue
            table = _free_table(links, family, link.index)
            # The kernel accepts a gateway once there is a route to it.
            for route in sorted(routes, key=lambda route: bool(route.gw)):
                yield AddRoute(self.netns, replace(route, table=table))
            for each in missing:
                yield AddRule(self.netns, PolicyRule(source=each, table=table, priority=PRIORITY))

    def missing(self, host: Host, *, made: bool) -> list[str]:
        """What is not there, as sentences, while several interfaces of the container have a default route.

        Whether the attachment's own ADD `made` it: else it is expected if another interface has rules.
        """
        links = host.links(self.netns)
        return [
            f"{self.ifname} has no routes of its own for packets from {address}"
            for family, own in by_family(links.addresses(self.ifname)).items()
            if self._is_expected(links, family, made=made)
            for address in map(without_prefix, own)
            if not _leads_out(links, family, address)
        ]

    def _is_expected(self, links: Links, family: Family, *, made: bool) -> bool:
        defaults = {route.ifname for route in links.routes(family) if route.is_default}
        several = self.ifname in defaults and len(defaults) > 1
        return several and links.rules(family) is not None and (made or bool(rules_of(links, family)))


@dataclass(frozen=True, slots=True)
class AddRoute:
    """Add a route in the container."""

    netns: str
    route: KernelRoute

    def do(self, host: Host) -> Undo:
        links = host.links(self.netns)
        return attempt(host, lambda: self._add(links), lambda: links.delete_route(self.route))

    def _add(self, links: Links) -> None:
        links.add_route(
            self.route.dst,
            ifname=self.route.ifname,
            gw=self.route.gw,
            mtu=self.route.mtu,
            advmss=self.route.advmss,
            priority=self.route.priority,
            table=self.route.table,
            scope=self.route.scope,
        )


@dataclass(frozen=True, slots=True)
class AddRule:
    """Add a policy rule in the container."""

    netns: str
    rule: PolicyRule

    def do(self, host: Host) -> Undo:
        links = host.links(self.netns)
        return attempt(host, lambda: links.add_rule(self.rule), lambda: links.delete_rule(self.rule))


def remove_sources(host: Host, netns: str, attachment: Attachment, addresses: Collection[str] | None) -> None:
    """Remove the rules and tables of an attachment's addresses (CIDR; None: those that its interface has).

    The last network that is left needs none either. A namespace that is gone, or is not known, has none.
    """
    try:
        links = host.links(netns) if netns else None
    except InvalidNetns:
        return
    if links is None or not any(rules_of(links, family) for family in FAMILIES):
        return
    # An ADD of the container may be making rules.
    with host.files.lock_attachment("container", Attachment("", attachment.container_id, "")):
        if addresses is None:
            addresses = _addresses_of(links, attachment.ifname)
        sources = {without_prefix(each) for each in addresses}
        best_effort(*(partial(_remove, links, family, sources) for family in FAMILIES))


def _addresses_of(links: Links, ifname: str) -> tuple[str, ...]:
    return links.addresses(ifname) if links.get(ifname) is not None else ()


def _remove(links: Links, family: Family, sources: Collection[str]) -> None:
    rules = rules_of(links, family)
    gone = [rule for rule in rules if rule.source in sources]
    left = [rule for rule in rules if rule not in gone]
    # Without a rule of ours the path may lead to the namespace of another container by now.
    if gone and len({rule.table for rule in left}) == 1:
        gone += left
    for rule in gone:
        links.delete_rule(rule)
    for table in {rule.table for rule in gone}:
        for route in links.routes(family, table=table):
            links.delete_route(route)


def rules_of(links: Links, family: Family) -> tuple[PolicyRule, ...]:
    """Our rules in a namespace."""
    rules = links.rules(family) or ()
    return tuple(rule for rule in rules if rule.priority == PRIORITY and rule.table >= _FIRST_TABLE)


def routes_of(links: Links, family: Family, ifname: str) -> list[KernelRoute]:
    """The routes through an interface in the main table."""
    return [route for route in links.routes(family) if route.ifname == ifname]


def _leads_out(links: Links, family: Family, address: str) -> bool:
    """Whether our rule leads what an address sends to a table with a default route."""
    tables = [rule.table for rule in rules_of(links, family) if rule.source == address]
    return any(route.is_default for table in tables for route in links.routes(family, table=table))


def _free_table(links: Links, family: Family, index: int) -> int:
    """A table without routes that no rule names."""
    used = {route.table for route in links.routes(family, table=0)}
    used |= {rule.table for rule in links.rules(family) or ()}
    return next(each for each in count(_FIRST_TABLE + index, _DISTANCE) if each not in used)
