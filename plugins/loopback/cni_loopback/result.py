"""What lo is, as a result. Pure."""

from __future__ import annotations

from linkspan.cni.model import Address, Interface, Result

MAC = "00:00:00:00:00:00"


def result_of(netns: str, addresses: tuple[str, ...]) -> Result:
    """Lo with the addresses (CIDR) that it has."""
    lo = Interface(name="lo", mac=MAC, sandbox=netns)
    return Result(interfaces=(lo,), ips=tuple(Address(address=each, interface=0) for each in addresses))
