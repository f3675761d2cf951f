"""The routing tables and policy rules of one namespace in memory."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Iterator

from linkspan.cni.addresses import Family
from linkspan.cni.errors import KernelRefused
from linkspan.host.contract import KernelRoute, PolicyRule

MAIN_TABLE, LOCAL_TABLE = 254, 255
_SCOPE_GLOBAL, _SCOPE_LINK = 0, 253
_METRIC_CONNECTED, _METRIC_DEFAULT = 256, 1024  # of IPv6 (IP6_RT_PRIO_ADDRCONF, IP6_RT_PRIO_USER); IPv4 has 0


class Routes:
    """All tables in one list, in the order in which routes were added."""

    def __init__(self) -> None:
        self._routes: list[KernelRoute] = []

    def __iter__(self) -> Iterator[KernelRoute]:
        return iter(self._routes)

    def of(self, family: Family, table: int) -> tuple[KernelRoute, ...]:
        """The routes of a table; of all but the local one for 0."""
        return tuple(
            each
            for each in self._routes
            if (":" in each.dst) == (family == 6)
            and (each.table == table or (not table and each.table != LOCAL_TABLE))
        )

    def add(
        self,
        dst: str,
        *,
        ifname: str,
        gw: str,
        mtu: int | None,
        advmss: int | None,
        priority: int | None,
        table: int | None,
        scope: int | None,
        request: str,
    ) -> None:
        """Add a route through a link that is up. Raises KernelRefused for `request`."""
        six = ":" in dst
        if any(number is not None and number >= 2**32 for number in (mtu, advmss, priority, table)):
            raise KernelRefused(request, errno.ERANGE)
        if gw and not self._is_on_link(ifname, gw):
            raise KernelRefused(request, errno.EHOSTUNREACH if six else errno.ENETUNREACH)
        route = KernelRoute(
            dst=str(ipaddress.ip_network(dst, strict=False)),
            gw=gw,
            ifname=ifname,
            table=table or MAIN_TABLE,
            priority=priority or (_METRIC_DEFAULT if six else 0),
            scope=_scope(six=six, gw=gw, asked=scope),
            mtu=mtu or 0,
            advmss=advmss or 0,
        )
        alike = [at for at, each in enumerate(self._routes) if _key(each) == _key(route)]
        if alike and (six or route in self._routes):
            raise KernelRefused(request, errno.EEXIST)
        self._routes.insert(alike[0] if alike else len(self._routes), route)

    def delete(self, route: KernelRoute) -> bool:
        """Delete a route; False if it is not there."""
        if route not in self._routes:
            return False
        self._routes.remove(route)
        return True

    def connect(self, ifname: str, address: str) -> None:
        """Add the route to an address's own subnet, as the kernel does."""
        network = ipaddress.ip_interface(address).network
        if network.num_addresses == 1:
            return
        six = network.version == 6
        route = KernelRoute(
            dst=str(network),
            gw="",
            ifname=ifname,
            table=MAIN_TABLE,
            priority=_METRIC_CONNECTED if six else 0,
            scope=_SCOPE_GLOBAL if six else _SCOPE_LINK,
        )
        if route not in self._routes:
            self._routes.append(route)

    def disconnect(self, ifname: str, address: str) -> None:
        """Remove the route to an address's own subnet."""
        subnet = str(ipaddress.ip_interface(address).network)
        self._routes = [
            each for each in self._routes if (each.ifname, each.dst, each.gw) != (ifname, subnet, "")
        ]

    def drop_link(self, ifname: str) -> None:
        """Remove every route through a link."""
        self._routes = [each for each in self._routes if each.ifname != ifname]

    def _is_on_link(self, ifname: str, gw: str) -> bool:
        ip = ipaddress.ip_address(gw)
        return ip.is_link_local or any(
            ip in ipaddress.ip_network(each.dst)
            for each in self._routes
            if each.ifname == ifname and not each.gw
        )


class Rules:
    """The policy rules that select one source address. `known`: whether this kernel has policy routing."""

    def __init__(self) -> None:
        self.known = True
        self._rules: list[PolicyRule] = []

    def __iter__(self) -> Iterator[PolicyRule]:
        return iter(self._rules)

    def of(self, family: Family) -> tuple[PolicyRule, ...] | None:
        """The rules of a family in the order in which they are applied."""
        found = [each for each in self._rules if (":" in each.source) == (family == 6)]
        return tuple(sorted(found, key=lambda rule: rule.priority)) if self.known else None

    def add(self, rule: PolicyRule) -> None:
        """Add a rule. Raises KernelRefused."""
        if not self.known or rule in self._rules:
            refusal = errno.EEXIST if self.known else errno.EAFNOSUPPORT
            raise KernelRefused(f"add the policy rule from {rule.source} to table {rule.table}", refusal)
        self._rules.append(rule)

    def delete(self, rule: PolicyRule) -> bool:
        """Delete a rule; False if it is not there."""
        if rule not in self._rules:
            return False
        self._rules.remove(rule)
        return True


def _scope(*, six: bool, gw: str, asked: int | None) -> int:
    """IPv6 routes have no scope; by default an IPv4 route is on the link or, behind a gateway, global."""
    if six:
        return _SCOPE_GLOBAL
    if asked is not None:
        return asked
    return _SCOPE_GLOBAL if gw else _SCOPE_LINK


def _key(route: KernelRoute) -> tuple[str, int, int]:
    """What identifies a route in the kernel."""
    return route.dst, route.table, route.priority
