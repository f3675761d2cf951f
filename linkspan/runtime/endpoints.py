"""Which containers are attached to which network, from linkspan's records and libcni's cache. Pure.

A record exists from ADD to DEL and dies with the boot. A cache entry (libcni, api.go: cachedInfo) has the
result of ADD, whichever plugins served it, and stays on disk if the container ends without a DEL: it counts
while its host link or its namespace exists.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from linkspan.cni.model import Attachment
from linkspan.runtime.lists import as_list, as_mapping

#: The key of entries that are `linkspan connect`'s.
CONNECTED = "linkspan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A published port. `host_ip` is "" for every address of the host."""

    host_ip: str
    host_port: int
    container_port: int
    protocol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One container interface on one network.

    `addresses` are in CIDR notation; `host_links` the host's ends by which the attachment is known to exist;
    `args` CNI_ARGS; `list_text`, `capabilities` and `result` what libcni kept of the ADD, if it did: the
    list, the runtime's capability arguments and the result's JSON; `warnings` what the plugins warned of;
    `connected`: by `linkspan connect`.
    """

    attachment: Attachment
    bridge: str = ""
    host_links: tuple[str, ...] = ()
    sandbox: str = ""
    mac: str = ""
    addresses: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    args: Mapping[str, str] = field(default_factory=dict)
    list_text: bytes = b""
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    connected: bool = False

    @property
    def id(self) -> str:
        """64 hex digits that tell this endpoint from all others, for Docker's EndpointID."""
        one = self.attachment
        return sha256("\0".join((one.network, one.container_id, one.ifname)).encode()).hexdigest()

    def exists(self, links: Collection[str], path_exists: Callable[[str], bool]) -> bool:
        """Whether the attachment is still there. `links` are the names of the host's links."""
        if self.host_links:
            return any(each in links for each in self.host_links)
        return bool(self.sandbox) and path_exists(self.sandbox)


def from_record(attachment: Attachment, record: Mapping[str, Any]) -> Endpoint:
    """What the record of the plugin bridge says."""
    addresses = tuple(each for each in as_list(record.get("addresses")) if isinstance(each, str))
    return Endpoint(
        attachment=attachment,
        bridge=str(record.get("bridge") or ""),
        host_links=(attachment.host_veth,),
        mac=str(record.get("mac") or _default_mac(addresses)),
        addresses=addresses,
    )


def from_cache(document: object) -> Endpoint | None:
    """What a file of libcni's cache says; None for anything else, and for `lo`, which is no
    attachment to a network.
    """
    entry = as_mapping(document)
    words = tuple(entry.get(key) for key in ("networkName", "containerId", "ifName"))
    if not all(isinstance(each, str) and each for each in words) or entry.get("ifName") == "lo":
        return None
    attachment = Attachment(*map(str, words))
    result = as_mapping(entry.get("result"))
    interfaces = [as_mapping(each) for each in as_list(result.get("interfaces"))]
    outside = [str(each.get("name", "")) for each in interfaces if not each.get("sandbox")]
    inside = [
        at
        for at, each in enumerate(interfaces)
        if each.get("sandbox") and each.get("name") == attachment.ifname
    ]
    own = interfaces[inside[0]] if inside else {}
    return Endpoint(
        attachment=attachment,
        bridge=outside[0] if len(outside) > 1 else "",
        host_links=tuple(outside[-1:]),
        sandbox=str(entry.get("netns") or own.get("sandbox") or ""),
        mac=str(own.get("mac") or ""),
        addresses=_addresses(result.get("ips"), inside),
        ports=_ports(as_mapping(entry.get("capabilityArgs")).get("portMappings")),
        args=_args(entry.get("cniArgs")),
        list_text=_decoded(entry.get("config")),
        capabilities=as_mapping(entry.get("capabilityArgs")),
        result=result,
        connected=CONNECTED in entry,
    )


def merged(recorded: Iterable[Endpoint], cached: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Each attachment once, in the order of network, container and interface; a cache entry adds to a
    record.
    """
    found = {each.attachment: each for each in cached}
    for each in recorded:
        known = found.get(each.attachment)
        found[each.attachment] = each if known is None else _combined(each, known)
    return tuple(found[each] for each in sorted(found))


def _combined(recorded: Endpoint, cached: Endpoint) -> Endpoint:
    return replace(
        cached,
        bridge=recorded.bridge,
        host_links=recorded.host_links,
        mac=cached.mac or recorded.mac,
        addresses=recorded.addresses or cached.addresses,
    )


def _addresses(value: object, inside: Collection[int]) -> tuple[str, ...]:
    """The addresses on the container's interface, in CIDR notation; one without an index counts as
    its own.
    """
    found = (as_mapping(each) for each in as_list(value))
    mine = (each for each in found if each.get("interface") is None or each["interface"] in inside)
    return tuple(each["address"] for each in mine if isinstance(each.get("address"), str))


def _ports(value: object) -> tuple[Port, ...]:
    """The capability portMappings, in the spelling of the convention or of Go's field names."""
    found = []
    for each in as_list(value):
        keys = {str(key).lower(): one for key, one in as_mapping(each).items()}
        host, container = keys.get("hostport"), keys.get("containerport")
        if isinstance(host, int) and isinstance(container, int):
            protocol = str(keys.get("protocol") or "tcp").lower()
            host_ip = str(keys.get("hostip") or "")
            found.append(Port(host_ip=host_ip, host_port=host, container_port=container, protocol=protocol))
    return tuple(found)


def _args(value: object) -> Mapping[str, str]:
    pairs = [each for each in as_list(value) if isinstance(each, list) and len(each) == 2]
    return {str(key): str(each) for key, each in pairs}


def _decoded(value: object) -> bytes:
    try:
        return b64decode(value) if isinstance(value, str) else b""
    except NotBase64:
        return b""


def _default_mac(addresses: Iterable[str]) -> str:
    """The MAC address that bridge derives from an IPv4 address, "" without one."""
    first = next((each.partition("/")[0] for each in addresses if ":" not in each), "")
    return "02:42:" + ":".join(f"{int(each):02x}" for each in first.split(".")) if first else ""
