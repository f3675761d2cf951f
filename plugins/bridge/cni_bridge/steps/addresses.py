"""Giving a link an address, and saying which sysctl keeps it from having one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkspan.cni.addresses import family_of
from linkspan.cni.errors import KernelRefused
from linkspan.steps.sysctls import require, sysctl_name

if TYPE_CHECKING:
    from linkspan.host.contract import Links

_NO_IPV6 = "this kernel has no IPv6: remove the IPv6 range, or start the kernel with ipv6.disable=0"


def enable_ipv6(links: Links, name: str) -> None:
    """Let a link have IPv6 addresses, whatever the host's default is. Raises KernelRefused."""
    require(links, f"ipv6/conf/{name}/disable_ipv6", "0", f"{name} is to have IPv6 addresses")


def add_address(links: Links, name: str, address: str, *, nodad: bool = True) -> bool:
    """Add an address (CIDR) to a link; False if it has it already.

    Raises KernelRefused, whose details name what keeps an IPv6 address from being added.
    """
    try:
        return links.add_address(name, address, nodad=nodad)
    except KernelRefused as error:
        if family_of(address) == 4:
            raise
        raise KernelRefused(error.request, error.errno, _advice(links, name) or error.details) from None


def _advice(links: Links, name: str) -> str:
    key = f"ipv6/conf/{name}/disable_ipv6"
    value = links.sysctl(key)
    if value is None:
        return _NO_IPV6
    return f"IPv6 is switched off on {name}: set the sysctl {sysctl_name(key)} to 0" if value != "0" else ""
