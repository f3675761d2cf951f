"""What the configuration asks of host-local, read once and frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from posixpath import join, normpath
from typing import Any

from cni_host_local_ipam.ranges import Ip, RangeSet, parse_cidr, parse_ip, read_sets
from linkspan.cni.errors import InvalidConfig, InvalidEnvironment
from linkspan.cni.model import NO_EXTRA, Request, Route
from linkspan.cni.versions import at_least

DATA_DIR = "/var/lib/cni/networks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One network's ranges and what goes with them. `resolv_conf` is a path, or "" for none."""

    sets: tuple[RangeSet, ...]
    routes: tuple[Route, ...] = ()
    resolv_conf: str = ""

    @classmethod
    def from_request(cls, request: Request, *, ranges_needed: bool) -> Config:
        """The configuration of a call whose shape the schema has checked. Raises InvalidConfig.

        Where ranges are not needed (GC and STATUS come without `runtimeConfig`) there may be none.
        """
        ipam = ipam_of(request)
        sets = read_sets(tuple(_found_sets(request, ipam)))
        if ranges_needed and not sets:
            raise InvalidConfig(
                "$.ipam.ranges: no IP ranges specified", 'such as [[{"subnet": "10.1.0.0/24"}]]'
            )
        routes = tuple(_route(f"$.ipam.routes[{i}]", each) for i, each in enumerate(ipam.get("routes", ())))
        path = ipam.get("resolvConf", "")
        return cls(sets=sets, routes=routes, resolv_conf=join(request.cwd, path) if path else "")

    def concerns(self, ip: Ip) -> bool:
        """Whether an address is in one of the subnets, if any are given: two lists of one name may share a folder of leases."""
        return not self.sets or any(ip in each.subnet for one in self.sets for each in one.ranges)

    def refuse_unless_told_by(self, cni_version: str) -> None:
        """Raise InvalidConfig for more addresses than a result of that version can tell (one of a family up to 0.2.0)."""
        families = [one.family for one in self.sets]
        if not at_least(cni_version, "0.3.0") and len(set(families)) < len(families):
            raise InvalidConfig(
                f"CNI version {cni_version} does not support more than 1 address per family",
                "use cniVersion 0.3.0 or later, or one range set of each family",
            )


def ipam_of(request: Request) -> Mapping[str, Any]:
    """The `ipam` object, or an empty one: DEL forgives everything that does not keep it from finding the lease."""
    value = request.config.get("ipam")
    return value if isinstance(value, Mapping) else NO_EXTRA


def pool_folder(request: Request) -> str:
    """The folder of the network's leases: dataDir/NAME."""
    data_dir = ipam_of(request).get("dataDir")
    chosen = data_dir if isinstance(data_dir, str) and data_dir else DATA_DIR
    return normpath(join(request.cwd, chosen, request.network))


def requested_addresses(request: Request) -> tuple[Ip, ...]:
    """The addresses asked for, each once: those of `args.cni.ips`, or else CNI_ARGS' IP, then those of `runtimeConfig.ips`.

    Raises InvalidConfig or InvalidEnvironment for what is not an address.
    """
    asked = _addresses("$.args.cni.ips", request.cni_args.get("ips", ())) or _address_in_args(request)
    return tuple(
        dict.fromkeys((*asked, *_addresses("$.runtimeConfig.ips", request.runtime_config.get("ips", ()))))
    )


def _addresses(path: str, values: Sequence[Any]) -> tuple[Ip, ...]:
    return tuple(_requested(f"{path}[{i}]", each) for i, each in enumerate(values))


def _address_in_args(request: Request) -> tuple[Ip, ...]:
    text = request.args.get("IP", "")
    if not text:
        return ()
    try:
        return (_requested("IP", text),)
    except InvalidConfig as error:
        raise InvalidEnvironment(f"CNI_ARGS: {error.msg}", error.details) from None


def _requested(path: str, text: Any) -> Ip:
    if isinstance(text, str) and "/" in text:
        parse_cidr(path, text)
        text = text.partition("/")[0]
    return parse_ip(path, text)


def _found_sets(
    request: Request, ipam: Mapping[str, Any]
) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
    """Every range set with its JSON path: the runtime's, the one in short form, the configured ones."""
    for i, each in enumerate(request.runtime_config.get("ipRanges", ())):
        yield f"$.runtimeConfig.ipRanges[{i}]", [each] if isinstance(each, Mapping) else each
    if ipam.get("subnet"):
        yield "$.ipam", [ipam]
    for i, each in enumerate(ipam.get("ranges", ())):
        yield f"$.ipam.ranges[{i}]", each


def _route(path: str, value: Mapping[str, Any]) -> Route:
    ip, length = parse_cidr(f"{path}.dst", value["dst"])
    gw = str(parse_ip(f"{path}.gw", value["gw"])) if value.get("gw") else ""
    keys = ("mtu", "advmss", "priority", "table", "scope")
    numbers: dict[str, Any] = {key: _integer(f"{path}.{key}", value[key]) for key in keys if key in value}
    return Route(dst=f"{ip}/{length}", gw=gw, **numbers)


def _integer(path: str, value: Any) -> int:
    if type(value) is not int:
        raise InvalidConfig(f"{path}: {value!r} is not an integer", "write it without a fraction")
    return value
