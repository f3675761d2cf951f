"""What the configuration asks for: ranges, requested addresses, and what goes into the result.

A range's bounds may be the network or the broadcast address (podman writes rangeEnd so); those are accepted
and never allocated. Networks of one or two addresses have neither (RFC 3021, RFC 6164) and are used whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_network
from posixpath import join, normpath
from typing import TYPE_CHECKING, Any

from linkspan.cni.addresses import Ip, Network, checked_cidr, checked_ip, masked
from linkspan.cni.errors import InvalidConfig, InvalidEnvironment
from linkspan.cni.model import NO_EXTRA, Route
from linkspan.cni.versions import at_least

if TYPE_CHECKING:
    from linkspan.cni.model import Request

DATA_DIR = "/var/lib/cni/networks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The addresses `first` to `last`, inclusive, of a network.

    `gateway` is None for a network of one address.
    """

    subnet: Network
    first: Ip
    last: Ip
    gateway: Ip | None

    def __contains__(self, ip: Ip) -> bool:
        return ip.version == self.subnet.version and int(self.first) <= int(ip) <= int(self.last)

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def overlaps(self, other: Range) -> bool:
        """Whether some address is in both."""
        return other.first in self or other.last in self or self.first in other


@dataclass(frozen=True, slots=True)
class RangeSet:
    """Ranges of one family, of which a container gets one address; `gateways` are never allocated."""

    ranges: tuple[Range, ...]
    gateways: frozenset[Ip] = frozenset()

    def __contains__(self, ip: Ip) -> bool:
        return any(ip in each for each in self.ranges)

    def __str__(self) -> str:
        return ",".join(str(each) for each in self.ranges)

    @property
    def family(self) -> int:
        """4 or 6."""
        return self.ranges[0].subnet.version

    @property
    def size(self) -> int:
        """How many addresses can be allocated."""
        whole = sum(int(each.last) - int(each.first) + 1 for each in self.ranges)
        return whole - sum(gateway in self for gateway in self.gateways)

    def range_of(self, ip: Ip) -> Range:
        """The range an address of this set lies in."""
        return next(each for each in self.ranges if ip in each)

    def candidates(self, after: Ip | None) -> Iterator[Ip]:
        """Every address that can be allocated, once, beginning after `after` if that is in a range."""
        for first, last in self._spans(after):
            for number in range(first, last + 1):
                ip = IPv4Address(number) if self.family == 4 else IPv6Address(number)
                if ip not in self.gateways:
                    yield ip

    def _spans(self, after: Ip | None) -> list[tuple[int, int]]:
        spans = [(int(each.first), int(each.last)) for each in self.ranges]
        if after is None or after not in self:
            return spans
        home = self.ranges.index(self.range_of(after))
        first, last = spans[home]
        return [(int(after) + 1, last), *spans[home + 1 :], *spans[:home], (first, int(after))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One network's ranges and what goes with them.

    `folder` is the directory of the leases. `requested` has the address to allocate from a range set (its
    number), if one is requested. `resolv_conf` is a path, or "" for none.
    """

    folder: str
    sets: tuple[RangeSet, ...]
    requested: Mapping[int, Ip] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    resolv_conf: str = ""

    @classmethod
    def from_request(cls, request: Request) -> Config:
        """The configuration of a call whose document the schema has passed.

        Raises InvalidConfig, InvalidEnvironment. GC and STATUS, which come without `runtimeConfig`, need no
        ranges. Only ADD requests addresses.
        """
        ipam = ipam_of(request)
        sets = range_sets(tuple(_configured_sets(request, ipam)))
        if not sets and request.verb in ("ADD", "CHECK"):
            raise InvalidConfig(
                "$.ipam.ranges: no IP ranges specified", 'such as [[{"subnet": "10.1.0.0/24"}]]'
            )
        if request.verb == "ADD":
            _check_reportable(sets, request.cni_version)
        path = ipam.get("resolvConf", "")
        return cls(
            folder=lease_folder(request),
            sets=sets,
            requested=_by_set(sets, _requested_addresses(request)) if request.verb == "ADD" else {},
            routes=tuple(
                _route(f"$.ipam.routes[{i}]", each) for i, each in enumerate(ipam.get("routes", ()))
            ),
            resolv_conf=join(request.cwd, path) if path else "",
        )

    def concerns(self, ip: Ip) -> bool:
        """Whether an address is in one of the subnets, if any: lists of one name share a directory."""
        return not self.sets or any(ip in each.subnet for one in self.sets for each in one.ranges)


def ipam_of(request: Request) -> Mapping[str, Any]:
    """The `ipam` object; an empty one if there is none, as DEL needs only the directory of the leases."""
    value = request.config.get("ipam")
    return value if isinstance(value, Mapping) else NO_EXTRA


def lease_folder(request: Request) -> str:
    """The directory of the network's leases: dataDir/NAME."""
    data_dir = ipam_of(request).get("dataDir")
    chosen = data_dir if isinstance(data_dir, str) and data_dir else DATA_DIR
    return normpath(join(request.cwd, chosen, request.network))


def _check_reportable(sets: Sequence[RangeSet], cni_version: str) -> None:
    """A result has one address of a family up to version 0.2.0. The reference's text, without details."""
    families = [one.family for one in sets]
    if not at_least(cni_version, "0.3.0") and len(set(families)) < len(families):
        raise InvalidConfig(f"CNI version {cni_version} does not support more than 1 address per family")


# --- requested addresses ------------------------------------------------------------------------------------


def _requested_addresses(request: Request) -> tuple[Ip, ...]:
    """Each once: those of `args.cni.ips`, or else CNI_ARGS' IP, then those of `runtimeConfig.ips`."""
    asked = _addresses("$.args.cni.ips", request.cni_args.get("ips", ())) or _address_in_args(request)
    return tuple(
        dict.fromkeys((*asked, *_addresses("$.runtimeConfig.ips", request.runtime_config.get("ips", ()))))
    )


def _addresses(path: str, values: Sequence[Any]) -> tuple[Ip, ...]:
    return tuple(_requested_address(f"{path}[{i}]", each) for i, each in enumerate(values))


def _address_in_args(request: Request) -> tuple[Ip, ...]:
    text = request.args.get("IP", "")
    if not text:
        return ()
    try:
        return (_requested_address("IP", text),)
    except InvalidConfig as error:
        raise InvalidEnvironment(f"CNI_ARGS: {error.msg}", error.details) from None


def _requested_address(path: str, text: Any) -> Ip:
    if isinstance(text, str) and "/" in text:
        checked_cidr(path, text)
        text = text.partition("/")[0]
    return checked_ip(path, text)


def _by_set(sets: Sequence[RangeSet], requested: Sequence[Ip]) -> dict[int, Ip]:
    """Number of a range set -> the address requested from it."""
    found: dict[int, Ip] = {}
    for ip in requested:
        number = next((n for n, one in enumerate(sets) if ip in one), None)
        if number is None:
            raise InvalidConfig(
                f"failed to allocate all requested IPs: {ip} is in no range of this network",
                "request one of " + ", ".join(str(one) for one in sets),
            )
        if number in found:
            raise InvalidConfig(
                f"failed to allocate all requested IPs: {ip} and {found[number]} are in the same range set",
                "request at most one address per range set",
            )
        if ip in sets[number].gateways:
            raise InvalidConfig(f"requested ip {ip} is subnet's gateway", "request another address")
        found[number] = ip
    return found


# --- routes -------------------------------------------------------------------------------------------------


def _route(path: str, value: Mapping[str, Any]) -> Route:
    ip, length = checked_cidr(f"{path}.dst", value["dst"])
    gw = str(checked_ip(f"{path}.gw", value["gw"])) if value.get("gw") else ""
    keys = ("mtu", "advmss", "priority", "table", "scope")
    numbers: dict[str, Any] = {key: _integer(f"{path}.{key}", value[key]) for key in keys if key in value}
    return Route(dst=masked(f"{ip}/{length}"), gw=gw, **numbers)


def _integer(path: str, value: Any) -> int:
    if type(value) is not int:
        raise InvalidConfig(f"{path}: {value!r} is not an integer", "use an integer")
    return value


# --- ranges -------------------------------------------------------------------------------------------------


def _configured_sets(
    request: Request, ipam: Mapping[str, Any]
) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
    """Every range set with its JSON path: the runtime's, the one in short form, the configured ones."""
    for i, each in enumerate(request.runtime_config.get("ipRanges", ())):
        yield f"$.runtimeConfig.ipRanges[{i}]", [each] if isinstance(each, Mapping) else each
    if ipam.get("subnet"):
        yield "$.ipam", [ipam]
    for i, each in enumerate(ipam.get("ranges", ())):
        yield f"$.ipam.ranges[{i}]", each


def range_sets(found: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> tuple[RangeSet, ...]:
    """Range sets from (JSON path, list of ranges) pairs. Raises InvalidConfig."""
    sets = [_read_set(number, path, ranges) for number, (path, ranges) in enumerate(found)]
    for number, one in enumerate(sets):
        for earlier, other in enumerate(sets[:number]):
            if any(a.overlaps(b) for a in one for b in other):
                raise InvalidConfig(
                    f"{found[number][0]}: range set {earlier} overlaps with {number}",
                    "use ranges that do not overlap",
                )
    gateways = frozenset(each.gateway for one in sets for each in one if each.gateway is not None)
    return tuple(
        _with_addresses(found[number][0], RangeSet(one, gateways)) for number, one in enumerate(sets)
    )


def _read_set(number: int, path: str, ranges: Sequence[Mapping[str, Any]]) -> tuple[Range, ...]:
    if not ranges:
        raise InvalidConfig(
            f"{path}: invalid range set {number}: empty range set", "remove it, or add a range"
        )
    # In the short form the range's keys are those of `ipam` itself.
    places = [path if path == "$.ipam" else f"{path}[{i}]" for i in range(len(ranges))]
    read = tuple(map(_range, places, ranges))
    if len({each.subnet.version for each in read}) > 1:
        raise InvalidConfig(
            f"{path}: invalid range set {number}: mixed address families", "use one set per address family"
        )
    for i, one in enumerate(read):
        for other in read[:i]:
            if one.overlaps(other):
                raise InvalidConfig(
                    f"{path}: invalid range set {number}: subnets {other} and {one} overlap",
                    "use ranges that do not overlap",
                )
    return read


def _with_addresses(path: str, one: RangeSet) -> RangeSet:
    if one.size < 1:
        raise InvalidConfig(
            f"{path}: no address to allocate in {one}", "the gateway is its only address; use a larger range"
        )
    return one


def _range(path: str, value: Mapping[str, Any]) -> Range:
    """A range from its JSON object at `path`."""
    subnet = _subnet(f"{path}.subnet", value.get("subnet"))
    lowest, highest = _usable(subnet)
    start = _bound(f"{path}.rangeStart", "RangeStart", value, "rangeStart", subnet) or lowest
    end = _bound(f"{path}.rangeEnd", "RangeEnd", value, "rangeEnd", subnet) or highest
    first, last = max(int(start), int(lowest)), min(int(end), int(highest))
    if int(start) > int(end) or first > last:
        raise InvalidConfig(
            f"{path}: no address between RangeStart {start} and RangeEnd {end} in network {subnet}",
            "rangeStart comes before rangeEnd; network and broadcast addresses are never allocated",
        )
    kind = type(subnet.network_address)
    return Range(subnet=subnet, first=kind(first), last=kind(last), gateway=_gateway(path, value, subnet))


def _subnet(path: str, text: Any) -> Network:
    ip, length = checked_cidr(path, text)
    subnet = ip_network(f"{ip}/{length}", strict=False)
    if subnet.network_address != ip:
        raise InvalidConfig(
            f"{path}: Network has host bits set. "
            f"For a subnet mask of length {length} the network address is {subnet.network_address}",
            f"write {subnet}",
        )
    return subnet


def _usable(subnet: Network) -> tuple[Ip, Ip]:
    """The lowest and highest address a container can have.

    Not the network's (for IPv6 RFC 4291, 2.6.1), and not the broadcast address.
    """
    lowest, highest = subnet.network_address, subnet.broadcast_address
    if subnet.num_addresses <= 2:
        return lowest, highest
    return lowest + 1, highest - 1 if subnet.version == 4 else highest


def _bound(path: str, label: str, value: Mapping[str, Any], key: str, subnet: Network) -> Ip | None:
    if value.get(key) in (None, ""):
        return None
    ip = checked_ip(path, value[key])
    if ip not in subnet:
        raise InvalidConfig(
            f"{path}: {label} {ip} not in network {subnet}", f"give an address inside {subnet}"
        )
    return ip


def _gateway(path: str, value: Mapping[str, Any], subnet: Network) -> Ip | None:
    """The gateway's address. It may be outside the subnet: link-local, or the one router of many subnets."""
    if value.get("gateway") in (None, ""):
        return None if subnet.num_addresses == 1 else subnet.network_address + 1
    ip = checked_ip(f"{path}.gateway", value["gateway"])
    if ip.version != subnet.version:
        raise InvalidConfig(
            f"{path}.gateway: gateway {ip} is of another address family than {subnet}",
            f"give an IPv{subnet.version} address",
        )
    return ip
