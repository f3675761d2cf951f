"""What was reserved, as a result. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from cni_host_local_ipam.config import Config
from cni_host_local_ipam.ranges import Ip, RangeSet
from linkspan.cni.model import Address, Dns, Result


def result_of(config: Config, reserved: Sequence[tuple[RangeSet, Ip]], dns: Dns) -> Result:
    """An IPAM result: no interfaces, one address of each range set, the configured routes."""
    return Result(ips=tuple(_address(one, ip) for one, ip in reserved), routes=config.routes, dns=dns)


def _address(one: RangeSet, ip: Ip) -> Address:
    home = one.range_of(ip)
    return Address(
        address=f"{ip}/{home.subnet.prefixlen}", gateway="" if home.gateway is None else str(home.gateway)
    )
