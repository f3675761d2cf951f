"""Bytes to requests and results to bytes: the CNI contract of every version, and no I/O.

The gate (`read_request`) follows one order so that the first fault told is the one to mend first: verb, variables, values,
document, name, version, verb against version. Sources: SPEC 0.1.0 to 1.1.0; skel.go of the reference for what runtimes match on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from ipaddress import ip_address, ip_interface
from typing import Any

from linkspan.cni.errors import (
    CniError,
    IncompatibleVersion,
    InvalidConfig,
    InvalidEnvironment,
    UndecodableInput,
)
from linkspan.cni.model import Address, Dns, Interface, Request, Result, Route, strings
from linkspan.cni.schema import Schema, fold
from linkspan.cni.versions import LATEST, VERSIONS

_RANK = {version: rank for rank, version in enumerate(VERSIONS)}

#: verb -> (variables it cannot do without, first version that has it)
VERBS = {
    "ADD": (("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"), "0.1.0"),
    "DEL": (("CNI_CONTAINERID", "CNI_IFNAME"), "0.1.0"),
    "CHECK": (("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"), "0.4.0"),
    "GC": ((), "1.1.0"),
    "STATUS": ((), "1.1.0"),
    "VERSION": ((), "0.1.0"),
}

#: The keys of a configuration that belong to the contract and not to a plugin; not GC's list, where null is a value.
COMMON: Schema = {
    "properties": {
        "cniVersion": {},
        "name": {},
        "type": {},
        "prevResult": {},
        "runtimeConfig": {},
        "args": {"properties": {"cni": {}}},
    }
}

_ROUTE: Schema = {
    "properties": {key: {} for key in ("dst", "gw", "mtu", "advmss", "priority", "table", "scope")},
}
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

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*", re.ASCII)
_NOT_IN_IFNAME = re.compile(r"[/:%\s\ud800-\udfff]")


def at_least(version: str, wanted: str) -> bool:
    """Whether a known CNI version is `wanted` or later."""
    return _RANK[version] >= _RANK[wanted]


# --- requests ---------------------------------------------------------------------------------------------------------


def read_request(
    cni_type: str, env: Mapping[str, str], stdin: bytes, schema: Schema, *, cwd: str = "/"
) -> Request:
    """The request that the environment and stdin spell, or the first fault as a CniError.

    `schema` says which keys of the configuration are the plugin's, for their spelling only; whether values are right is
    `schema.check`'s business. A DEL forgives whatever does not keep it from finding the attachment.
    """
    verb = checked_environment(env)
    document = fold(fold(decode_document(stdin), COMMON), schema)
    network = _network_name(document)
    version = config_version(document)
    if not at_least(version, VERBS[verb][1]):
        raise IncompatibleVersion(
            f"config version does not allow {verb}",
            f"cniVersion is {version}; {verb} came with {VERBS[verb][1]}",
        )
    return Request(
        verb=verb,
        plugin=cni_type,
        cni_version=version,
        network=network,
        config=document,
        container_id=env.get("CNI_CONTAINERID", ""),
        ifname=env.get("CNI_IFNAME", ""),
        netns=env.get("CNI_NETNS", ""),
        args=_cni_args(env.get("CNI_ARGS", ""), strict=verb in ("ADD", "CHECK")),
        path=tuple(each for each in env.get("CNI_PATH", "").split(":") if each),
        prev_result=_prev_result(document, version, verb),
        valid_attachments=_valid_attachments(document) if verb == "GC" else None,
        stdin=stdin,
        env=env,
        cwd=cwd,
    )


def checked_environment(env: Mapping[str, str]) -> str:
    """The verb, once the CNI_* variables it needs are there and sound. Raises InvalidEnvironment."""
    verb = env.get("CNI_COMMAND", "")
    if verb not in VERBS:
        raise InvalidEnvironment(f"unknown CNI_COMMAND: {verb}", f"one of {', '.join(VERBS)}")
    missing = [each for each in VERBS[verb][0] if not env.get(each)]
    if missing:
        raise InvalidEnvironment(
            f"required env variables [{','.join(missing)}] missing", f"CNI_COMMAND is {verb}"
        )
    if VERBS[verb][0]:
        _check_container_id(env["CNI_CONTAINERID"])
        _check_ifname(env["CNI_IFNAME"])
    return verb


def _check_container_id(container_id: str) -> None:
    if not _NAME.fullmatch(container_id):
        raise InvalidEnvironment(
            f"invalid characters in containerID: {_short(container_id)}",
            "CNI_CONTAINERID begins with a letter or digit and goes on with letters, digits, '_', '.' and '-'",
        )


def _check_ifname(ifname: str) -> None:
    """What the kernel takes for a name (dev_valid_name in net/core/dev.c), in UTF-8, and no '%', which it would expand."""
    size = len(ifname.encode("utf-8", "surrogateescape"))
    if size > 15 or ifname in (".", "..") or _NOT_IN_IFNAME.search(ifname):
        raise InvalidEnvironment(
            f"invalid interface name in CNI_IFNAME: {_short(ifname)}",
            "1 to 15 bytes, not '.' or '..', without '/', ':', '%' and white space",
        )


def decode_document(stdin: bytes) -> dict[str, Any]:
    """Standard input as one JSON object; UndecodableInput otherwise. The last of two equal keys wins."""
    try:
        document = json.loads(stdin.decode("utf-8", "replace"), parse_constant=_no_constant)
    except RecursionError:
        raise UndecodableInput("the configuration on stdin is nested too deep") from None
    except ValueError as error:
        raise UndecodableInput(f"the configuration on stdin is not JSON: {_short(str(error), 70)}") from None
    if not isinstance(document, dict):
        raise UndecodableInput(
            f"the configuration on stdin is a JSON {type(document).__name__}, not an object"
        )
    return document


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON value")


def config_version(document: Mapping[str, Any]) -> str:
    """The configuration's cniVersion; absent or empty means 0.1.0. Compared as text, never normalised."""
    version = document.get("cniVersion") or "0.1.0"
    if not isinstance(version, str):
        raise UndecodableInput(f"$.cniVersion: {version!r} is not a string")
    if version not in _RANK:
        raise IncompatibleVersion(
            f"incompatible CNI versions: the config is {_short(version)!r}",
            f"supported: {', '.join(VERSIONS)}",
        )
    return version


def _network_name(document: Mapping[str, Any]) -> str:
    name = document.get("name")
    if name is None or name == "":
        raise InvalidConfig("missing network name", "$.name is required")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 255:
        raise InvalidConfig(
            f"invalid characters found in network name: {_short(str(name))}",
            "$.name begins with a letter or digit, goes on with letters, digits, '_', '.' and '-', 255 at most",
        )
    return name


def _cni_args(text: str, *, strict: bool) -> dict[str, str]:
    """CNI_ARGS as a mapping, split at each pair's first '='. A trailing ';' is fine; keys we do not know are not ours."""
    args: dict[str, str] = {}
    for pair in filter(None, text.split(";")):
        key, equals, value = pair.partition("=")
        if strict and not (key and equals):
            raise InvalidEnvironment(
                f"CNI_ARGS: invalid pair {_short(pair)!r}", "pairs are KEY=VALUE, parted by ';'"
            )
        args[key] = value
    return args


def _prev_result(document: Mapping[str, Any], version: str, verb: str) -> Result | None:
    value = document.get("prevResult")
    if value is None:
        return None
    try:
        return decode_result(value, version)
    except CniError:
        if verb == "DEL":
            return None
        raise


def _valid_attachments(document: Mapping[str, Any]) -> frozenset[tuple[str, str]] | None:
    """Who is alive, as (container id, ifname); None if no key says so, and null is an empty list (libcni sends it)."""
    for key in ("cni.dev/valid-attachments", "cni.dev/attachments"):
        if key in document:
            return frozenset(_attachment(each, key) for each in _listed(document[key], key))
    return None


def _attachment(value: Any, key: str) -> tuple[str, str]:
    if isinstance(value, Mapping):
        folded = {str(name).lower(): each for name, each in value.items()}
        container_id, ifname = folded.get("containerid"), folded.get("ifname")
        if isinstance(container_id, str) and isinstance(ifname, str):
            return container_id, ifname
    raise InvalidConfig(f"$['{key}']: an element lacks containerID or ifname", "nothing was removed")


def _listed(value: Any, key: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidConfig(f"$['{key}']: {_short(repr(value))} is not a list", "nothing was removed")
    return value


# --- results ----------------------------------------------------------------------------------------------------------


def decode_result(document: Any, default_version: str) -> Result:
    """A result of any version (its own cniVersion, else `default_version`) as one shape. Raises InvalidConfig.

    Keys nobody knows are kept in `extra`, so that a vendor's field survives a chain.
    """
    document = fold(document, _RESULT)
    if not isinstance(document, Mapping):
        raise InvalidConfig(f"$.prevResult: {_short(repr(document))} is not an object")
    version = document.get("cniVersion") or default_version
    if version not in _RANK:
        raise InvalidConfig(f"$.prevResult.cniVersion: {_short(repr(version))} is not a CNI version we know")
    try:
        return _decode_old(document) if not at_least(version, "0.3.0") else _decode_new(document)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InvalidConfig(
            f"$.prevResult: not a result of version {version}: {_short(str(error), 60)}"
        ) from None


def _decode_new(document: Mapping[str, Any]) -> Result:
    interfaces = tuple(_interface(each) for each in document.get("interfaces", ()))
    ips = tuple(_address(each) for each in document.get("ips", ()))
    for ip in ips:
        if ip.interface is not None and not 0 <= ip.interface < len(interfaces):
            raise ValueError(f"ips[].interface {ip.interface} names no interface")
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
    numbers = {
        key: _number(value[key]) for key in ("mtu", "advmss", "priority", "table", "scope") if key in value
    }
    rest = _rest(value, ("dst", "gw", "mtu", "advmss", "priority", "table", "scope"))
    return Route(dst=_cidr(value["dst"]), gw=_ip(value.get("gw", "")), extra=rest, **numbers)


def _dns(value: Mapping[str, Any]) -> Dns:
    return Dns(
        nameservers=strings(value.get("nameservers")),
        domain=_text(value.get("domain", "")),
        search=strings(value.get("search")),
        options=strings(value.get("options")),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{_short(repr(value))} is not a string")
    return value


def _cidr(value: Any) -> str:
    """An address with its prefix length, as it was written; the reference takes no other form either."""
    text = _text(value)
    ip_interface(text)
    if "/" not in text:
        raise ValueError(f"{_short(text)!r} has no prefix length")
    return text


def _ip(value: Any) -> str:
    """An address, or "" where there is none, as it was written."""
    text = _text(value)
    if text:
        ip_address(text)
    return text


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{_short(repr(value))} is not an integer")
    return value


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
    """An error object (SPEC 1.1.0, "Error"). `version` is the configuration's, or the latest when it is unknown."""
    document: dict[str, Any] = {"cniVersion": version, "code": error.code, "msg": error.msg}
    if error.details:
        document["details"] = error.details
    return _dump(document)


def error_version(stdin: bytes) -> str:
    """The cniVersion an error should carry: the configuration's if it names one we know, else the latest."""
    try:
        return config_version(fold(decode_document(stdin), COMMON))
    except CniError:
        return LATEST


def _dump(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True).encode() + b"\n"


def _short(text: str, limit: int = 40) -> str:
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= limit else text[: limit - 3] + "..."
