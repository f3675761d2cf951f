"""What was claimed, as a result. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni_host_local_ipam.steps import ClaimAddresses
from linkspan.cni.model import Address, Result

if TYPE_CHECKING:
    from cni_host_local_ipam.config import Config, RangeSet
    from cni_host_local_ipam.facts import Facts
    from linkspan.call.transaction import Plan
    from linkspan.cni.addresses import Ip


def result_of(config: Config, facts: Facts, plan: Plan) -> Result:
    """An IPAM result: no interfaces, one address of each range set, the configured routes."""
    claimed = [ip for step in plan if isinstance(step, ClaimAddresses) for ip in step.addresses]
    return Result(ips=tuple(map(_address, config.sets, claimed)), routes=config.routes, dns=facts.dns)


def _address(one: RangeSet, ip: Ip) -> Address:
    home = one.range_of(ip)
    return Address(
        address=f"{ip}/{home.subnet.prefixlen}", gateway="" if home.gateway is None else str(home.gateway)
    )
