"""`--subnet`, `--gateway`, `--ip-range` and `--aux-address` of a new network, with Docker's rules and texts.
Pure.

The rules: docker/cli, cli/command/network/create.go (what belongs to which subnet), and moby,
daemon/network.go (validateIpamConfig).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from ipaddress import ip_address, ip_network

from linkspan.cni.addresses import Network as IpNet
from linkspan.runtime.network import Subnet, first_address
from linkspan.runtime.pools import POOLS_V4, Pool, first_free
from linkspan.steps.occupied import Used, conflicts, overlap, wide_routes


class InvalidAddress(Exception):
    """An address or subnet that cannot be used; `fix` is what to write instead, if that is known."""

    def __init__(self, text: str, fix: str = "") -> None:
        super().__init__(text)
        self.fix = fix


class PoolOverlap(Exception):
    """A subnet that shares addresses with `used`, which other networks, links or routes of the host use."""

    def __init__(self, subnet: str, used: Sequence[Used]) -> None:
        super().__init__(subnet)
        self.subnet = subnet
        self.used = used


class PoolsExhausted(Exception):
    """Every subnet of the default pools overlaps something that is in use; `used` is what."""

    def __init__(self, used: Sequence[Used]) -> None:
        super().__init__()
        self.used = used


def pair(
    subnets: Iterable[str],
    gateways: Iterable[str],
    ip_ranges: Iterable[str],
    auxiliary: Mapping[str, str],
) -> tuple[Subnet, ...]:
    """Subnets with the gateway, range and auxiliary addresses that lie in each. Raises InvalidAddress."""
    found = _distinct([_parsed_subnet(each) for each in subnets])
    for each in ip_ranges:
        found = _with(found, "range", each, _with_range)
    for each in gateways:
        found = _with(found, "gateway", each, _with_gateway)
    for name, address in auxiliary.items():
        found = _with(found, "aux-address", address, partial(_with_auxiliary, name))
    return tuple(found)


def _parsed_subnet(text: str) -> Subnet:
    if "/" not in text:
        raise InvalidAddress(f"invalid subnet {text}: the prefix length is missing", "such as 10.5.0.0/24")
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise InvalidAddress(f"invalid subnet {text}: it is not in CIDR notation") from None
    if str(ip_address(text.partition("/")[0])) != str(network.network_address):
        raise InvalidAddress(f"invalid subnet {text}: it should be {network}", f"--subnet {network}")
    if network.num_addresses < 4:
        raise InvalidAddress(f"invalid subnet {text}: it has no address for a container")
    return Subnet(subnet=str(network))


def _distinct(subnets: list[Subnet]) -> list[Subnet]:
    """Docker's bridge driver takes one subnet of each family."""
    for version in (False, True):
        same = [each.subnet for each in subnets if each.is_ipv6 == version]
        if len(same) > 1:
            raise InvalidAddress(
                f"{' and '.join(same)}: bridge driver doesn't support multiple subnets of one family"
            )
    return subnets


def _with(found: list[Subnet], what: str, text: str, change: Callable[[Subnet, str], Subnet]) -> list[Subnet]:
    """`found` with the one that contains an address or range changed."""
    try:
        inner = ip_network(text, strict=False)
    except ValueError:
        raise InvalidAddress(f"invalid {what} {text}: it is not an address") from None
    home = next((each for each in found if overlap(ip_network(each.subnet), inner)), None)
    if home is None:
        raise InvalidAddress(f"no matching subnet for {what} {text}", "give --subnet too")
    return [change(each, text) if each is home else each for each in found]


def _with_range(one: Subnet, text: str) -> Subnet:
    inner, outer = ip_network(text, strict=False), ip_network(one.subnet)
    if one.ip_range:
        raise InvalidAddress(
            f"cannot configure multiple ranges ({text}, {one.ip_range}) on the same subnet ({one.subnet})"
        )
    if inner.prefixlen < outer.prefixlen:
        raise InvalidAddress(
            f"invalid ip-range {text}: CIDR block is bigger than its parent subnet {one.subnet}"
        )
    if str(inner) != str(text) and ip_address(text.partition("/")[0]) != inner.network_address:
        raise InvalidAddress(f"invalid ip-range {text}: it should be {inner}", f"--ip-range {inner}")
    return replace(one, ip_range=str(inner))


def _with_gateway(one: Subnet, text: str) -> Subnet:
    if one.gateway:
        raise InvalidAddress(
            f"cannot configure multiple gateways ({text}, {one.gateway}) for the same subnet ({one.subnet})"
        )
    return replace(one, gateway=_usable(one, "gateway", text))


def _with_auxiliary(name: str, one: Subnet, text: str) -> Subnet:
    return replace(one, auxiliary={**one.auxiliary, name: _usable(one, f"auxiliary address {name}", text)})


def _usable(one: Subnet, what: str, text: str) -> str:
    """An address of a subnet that an interface can have (not the network's own or, in IPv4, the
    broadcast address).
    """
    try:
        address = ip_address(text)
    except ValueError:
        raise InvalidAddress(f"invalid {what} {text}: it is not an address") from None
    network = ip_network(one.subnet)
    reserved = {network.network_address} | ({network.broadcast_address} if network.version == 4 else set())
    if address in reserved:
        raise InvalidAddress(f"invalid {what} {text}: no interface can have this address of {one.subnet}")
    return str(address)


# --- against what the host uses
# ---------------------------------------------------------------------------------------


def completed(
    given: Sequence[Subnet], families: Iterable[int], used: Sequence[Used], ula: Pool
) -> tuple[Subnet, ...]:
    """The given subnets, and one chosen from the default pools for each further family. Raises
    PoolOverlap, PoolsExhausted.
    """
    for each in given:
        refuse_overlap(each.subnet, used)
    taken = [*used, *(Used(ip_network(each.subnet), "this network") for each in given)]
    chosen = list(given)
    for family in families:
        if not any(each.is_ipv6 == (family == 6) for each in given):
            chosen.append(Subnet(subnet=str(_chosen(family, taken, ula))))
    return tuple(
        replace(each, gateway=each.gateway or first_address(each.subnet))
        for each in sorted(chosen, key=lambda each: each.is_ipv6)
    )


def next_free(family: int, used: Sequence[Used], ula: Pool) -> IpNet | None:
    """The subnet that would be chosen; None if there is none."""
    return first_free((ula,) if family == 6 else POOLS_V4, used)


def _chosen(family: int, used: Sequence[Used], ula: Pool) -> IpNet:
    found = next_free(family, used, ula)
    if found is None:
        raise PoolsExhausted([each for each in used if each.network.version == family])
    return found


def refuse_overlap(subnet: str, used: Iterable[Used]) -> None:
    """Raise PoolOverlap for a subnet that something on the host uses, other than a route wider than
    the subnet.
    """
    found = conflicts(ip_network(subnet), used)
    if found:
        raise PoolOverlap(subnet, found)


def in_wide_routes(subnets: Iterable[Subnet], used: Sequence[Used]) -> list[tuple[str, Used]]:
    """The subnets that lie inside a wide route of the host, each with that route: worth a warning."""
    return [(each.subnet, one) for each in subnets for one in wide_routes(ip_network(each.subnet), used)]
