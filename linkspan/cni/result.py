"""Results and errors as the JSON of every CNI version, and results read back. No I/O.

Sources: SPEC 0.1.0 to 1.1.0, "Result" and "Error".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from linkspan.cni.addresses import canonical_cidr, masked, parse_ip
from linkspan.cni.errors import CniError, IncompatibleVersion, InvalidConfig, shortened
from linkspan.cni.model import Address, Dns, Interface, Result, Route, strings
from linkspan.cni.schema import Schema, normalize_keys
from linkspan.cni.versions import VERSIONS, at_least

_ROUTE: Schema = {
    "properties": {key: {} for key in ("dst", "gw", "mtu", "advmss", "priority", "table", "scope")},
}
#: The numbers of a route, and the greatest that the kernel has room for (rtnetlink(7)).
_MOST = {"mtu": 2**32 - 1, "advmss": 2**32 - 1, "priority": 2**32 - 1, "table": 2**32 - 1, "scope": 255}
_OLD_FAMILY: Schema = {"properties": {"ip": {}, "gateway": {}, "routes": {"items": _ROUTE}}}
_RESULT: Schema = {
    "properties": {
        "cniVersion": {},
        "interfaces": {
            "items": {
                "properties": {key: {} for key in ("name", "mac", "sandbox", "mtu", "socketPath", "pciID")}
            }
        },
        "ips": {"items": {"properties": {key: {} for key in ("version", "address", "gateway", "interface")}}},
        "routes": {"items": _ROUTE},
        "dns": {"properties": {key: {} for key in ("nameservers", "domain", "search", "options")}},
        "ip4": _OLD_FAMILY,
        "ip6": _OLD_FAMILY,
    }
}


def decode_result(document: Any, default_version: str) -> Result:
    """A result of any version (its own cniVersion, else `default_version`) as one shape. Raises
    InvalidConfig.

    Keys nobody knows are kept in `extra`, so that a vendor's field survives a chain.
    """
    document = normalize_keys(document, _RESULT)
    if not isinstance(document, Mapping):
        raise InvalidConfig(f"$.prevResult: {shortened(repr(document))} is not an object")
    version = document.get("cniVersion") or default_version
    if version not in VERSIONS:
        raise InvalidConfig(
            f"$.prevResult.cniVersion: {shortened(repr(version))} is not a supported CNI version"
        )
    try:
        return _decode_old(document) if not at_least(version, "0.3.0") else _decode_new(document)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InvalidConfig(
            f"$.prevResult: not a result of version {version}: {shortened(str(error), 60)}"
        ) from None


def _decode_new(document: Mapping[str, Any]) -> Result:
    interfaces = tuple(_interface(each) for each in document.get("interfaces", ()))
    ips = tuple(_address(each) for each in document.get("ips", ()))
    for ip in ips:
        if ip.interface is not None and not 0 <= ip.interface < len(interfaces):
            raise ValueError(f"ips[].interface {ip.interface} is out of range")
    return Result(
        interfaces=interfaces,
        ips=ips,
        routes=tuple(_route(each) for each in document.get("routes", ())),
        dns=_dns(document.get("dns", {})),
        extra=_rest(document, ("cniVersion", "interfaces", "ips", "routes", "dns")),
    )


def _decode_old(document: Mapping[str, Any]) -> Result:
    ips: list[Address] = []
    routes: list[Route] = []
    for key in ("ip4", "ip6"):
        family = document.get(key)
        if family:
            ips.append(Address(address=_cidr(family["ip"]), gateway=_ip(family.get("gateway", ""))))
            routes += [_route(each) for each in family.get("routes", ())]
    rest = _rest(document, ("cniVersion", "ip4", "ip6", "dns"))
    return Result(ips=tuple(ips), routes=tuple(routes), dns=_dns(document.get("dns", {})), extra=rest)


def _interface(value: Mapping[str, Any]) -> Interface:
    mtu = value.get("mtu")
    return Interface(
        name=_text(value["name"]),
        mac=_text(value.get("mac", "")),
        sandbox=_text(value.get("sandbox", "")),
        mtu=None if mtu is None else _number(mtu),
        socket_path=_text(value.get("socketPath", "")),
        pci_id=_text(value.get("pciID", "")),
        extra=_rest(value, ("name", "mac", "sandbox", "mtu", "socketPath", "pciID")),
    )


def _address(value: Mapping[str, Any]) -> Address:
    index = value.get("interface")
    return Address(
        address=_cidr(value["address"]),
        gateway=_ip(value.get("gateway", "")),
        interface=None if index is None else _number(index),
        extra=_rest(value, ("version", "address", "gateway", "interface")),
    )


def _route(value: Mapping[str, Any]) -> Route:
    numbers = {key: _limited(key, value[key], most) for key, most in _MOST.items() if key in value}
    rest = _rest(value, ("dst", "gw", "mtu", "advmss", "priority", "table", "scope"))
    return Route(dst=masked(_cidr(value["dst"])), gw=_ip(value.get("gw", "")), extra=rest, **numbers)


def _dns(value: Mapping[str, Any]) -> Dns:
    return Dns(
        nameservers=strings(value.get("nameservers")),
        domain=_text(value.get("domain", "")),
        search=strings(value.get("search")),
        options=strings(value.get("options")),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{shortened(repr(value))} is not a string")
    return value


def _cidr(value: Any) -> str:
    """An address with its prefix length in the usual form, which nothing further in takes for an error.

    The reference accepts no other forms: no netmask, no zone, no bare address.
    """
    text = _text(value)
    found = canonical_cidr(text)
    if found is None:
        problem = "is not in CIDR notation" if "/" in text else "has no prefix length"
        raise ValueError(f"{shortened(text, 30)!r} {problem}")
    return found


def _ip(value: Any) -> str:
    """An address in the usual form, or "" where there is none."""
    text = _text(value)
    ip = parse_ip(text)
    if text and ip is None:
        raise ValueError(f"{shortened(text)!r} is not an IP address")
    return "" if ip is None else str(ip)


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{shortened(repr(value))} is not an integer")
    return value


def _limited(key: str, value: Any, most: int) -> int:
    number = _number(value)
    if not 0 <= number <= most:
        raise ValueError(f"{key} of a route: {shortened(str(number), 15)} is not 0 to {most}")
    return number


def _rest(value: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    return {key: each for key, each in value.items() if key not in known}


def encode_result(result: Result, version: str) -> bytes:
    """A result as JSON of exactly this version. IncompatibleVersion if the version cannot hold it."""
    return _dump(result_document(result, version))


def result_document(result: Result, version: str) -> dict[str, Any]:
    """A result as the JSON object of exactly this version."""
    if not at_least(version, "0.3.0"):
        return _encode_old(result, version)
    document: dict[str, Any] = {"cniVersion": version, **result.extra}
    if result.interfaces:
        document["interfaces"] = [_interface_document(each, version) for each in result.interfaces]
    if result.ips:
        document["ips"] = [_address_document(each, version) for each in result.ips]
    if result.routes:
        document["routes"] = [_route_document(each) for each in result.routes]
    if result.dns or not at_least(version, "1.0.0"):
        document["dns"] = _dns_document(result.dns)
    return document


def _encode_old(result: Result, version: str) -> dict[str, Any]:
    """One address a family, routes split by family (SPEC 0.2.0, "Result")."""
    if not result.ips:
        raise IncompatibleVersion("cannot convert: no valid IP addresses", f"cniVersion {version} needs one")
    document: dict[str, Any] = {"cniVersion": version, **result.extra}
    for family in (4, 6):
        first = next((ip for ip in result.ips if ip.family == family), None)
        if first is None:
            continue
        entry: dict[str, Any] = {"ip": first.address}
        if first.gateway:
            entry["gateway"] = first.gateway
        routes = [_route_document(each) for each in result.routes if each.family == family]
        if routes:
            entry["routes"] = routes
        document[f"ip{family}"] = entry
    document["dns"] = _dns_document(result.dns)
    return document


def _interface_document(interface: Interface, version: str) -> dict[str, Any]:
    document: dict[str, Any] = {**interface.extra, "name": interface.name}
    optional = {"mac": interface.mac, "sandbox": interface.sandbox}
    if at_least(version, "1.1.0"):
        optional |= {"socketPath": interface.socket_path, "pciID": interface.pci_id}
        if interface.mtu is not None:
            document["mtu"] = interface.mtu
    return document | {key: value for key, value in optional.items() if value}


def _address_document(address: Address, version: str) -> dict[str, Any]:
    document: dict[str, Any] = {**address.extra, "address": address.address}
    if not at_least(version, "1.0.0"):
        document["version"] = str(address.family)
    if address.gateway:
        document["gateway"] = address.gateway
    if address.interface is not None:
        document["interface"] = address.interface
    return document


def _route_document(route: Route) -> dict[str, Any]:
    document: dict[str, Any] = {**route.extra, "dst": route.dst}
    if route.gw:
        document["gw"] = route.gw
    for key in ("mtu", "advmss", "priority", "table", "scope"):
        value = getattr(route, key)
        if value is not None:
            document[key] = value
    return document


def _dns_document(dns: Dns) -> dict[str, Any]:
    document: dict[str, Any] = {
        "nameservers": list(dns.nameservers),
        "domain": dns.domain,
        "search": list(dns.search),
        "options": list(dns.options),
    }
    return {key: value for key, value in document.items() if value}


def encode_error(error: CniError, version: str) -> bytes:
    """An error object (SPEC 1.1.0, "Error"). `version` is the configuration's, or the latest when it is
    unknown.
    """
    document: dict[str, Any] = {"cniVersion": version, "code": error.code, "msg": error.msg}
    if error.details:
        document["details"] = error.details
    return _dump(document)


def _dump(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True).encode() + b"\n"
