"""Containers on networks in Docker's words: the rows of `ps` and the lines of `port`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from linkspan.runtime.labels import Filter, has_label, like
from linkspan.runtime.network import EVERY_ADDRESS

if TYPE_CHECKING:
    from linkspan.runtime.attached import Attached
    from linkspan.runtime.endpoints import Endpoint, Port

#: Columns of `ps` -> their headers.
HEADERS: Mapping[str, str] = {
    "Names": "CONTAINER",
    "Runtime": "RUNTIME",
    "Network": "NETWORK",
    "Interface": "INTERFACE",
    "Addresses": "ADDRESSES",
    "MacAddress": "MAC ADDRESS",
    "DNSNames": "DNS NAMES",
    "Ports": "PORTS",
    "HostLink": "HOST LINK",
}
#: Further columns of `ps --output wide`.
WIDE_HEADERS: Mapping[str, str] = {
    "ID": "CONTAINER ID",
    "Namespace": "NAMESPACE",
    "State": "STATE",
    "PID": "PID",
    "Netns": "NETNS",
}
#: What only templates can ask for.
FURTHER_HEADERS: Mapping[str, str] = {"Labels": "LABELS"}
_NONE = "-"


def row(one: Attached, *, truncated: bool) -> dict[str, str]:
    """A container on a network as `ps --format` sees it: strings, "" for what it does not have."""
    container, endpoint = one.container, one.endpoint
    return {
        "ID": container.short_id if truncated else container.id,
        "Names": container.name,
        "Runtime": container.runtime,
        "Namespace": container.namespace,
        "State": container.state,
        "PID": str(container.pid or ""),
        "Netns": container.netns,
        "Network": one.network,
        "Interface": endpoint.attachment.ifname if endpoint else "",
        "Addresses": ",".join(endpoint.addresses) if endpoint else "",
        "MacAddress": endpoint.mac if endpoint else "",
        "DNSNames": ",".join(one.dns_names),
        "Ports": ", ".join(published(endpoint)) if endpoint else "",
        "HostLink": _host_link(endpoint),
        "Labels": ",".join(sorted(f"{key}={value}" for key, value in container.labels.items())),
    }


def cells(one: Attached, *, truncated: bool) -> dict[str, str]:
    """The same for a table, in which no cell is empty."""
    return {key: value or _NONE for key, value in row(one, truncated=truncated).items()}


def document(one: Attached) -> dict[str, Any]:
    """A container on a network as `ps --output json` and `yaml` print it."""
    container, endpoint = one.container, one.endpoint
    return {
        **row(one, truncated=False),
        "PID": container.pid,
        "Addresses": list(endpoint.addresses) if endpoint else [],
        "DNSNames": list(one.dns_names),
        "Ports": [_port(each) for each in endpoint.ports] if endpoint else [],
        "Labels": dict(container.labels),
    }


def published(endpoint: Endpoint) -> list[str]:
    """The published ports, such as `0.0.0.0:8080->80/tcp`."""
    return [
        f"{binding}->{port.container_port}/{port.protocol}"
        for port in sorted(endpoint.ports, key=_by_container_port)
        for binding in bindings(port, endpoint)
    ]


def port_lines(endpoints: Iterable[Endpoint], container_port: int = 0, protocol: str = "") -> list[str]:
    """Published ports as `docker port` prints them: `80/tcp -> 0.0.0.0:8080`; `0.0.0.0:8080` of one port."""
    found = [(port, endpoint) for endpoint in endpoints for port in endpoint.ports]
    if container_port:
        found = [
            (port, endpoint)
            for port, endpoint in found
            if (port.container_port, port.protocol) == (container_port, protocol)
        ]
    lines = {
        f"{'' if container_port else f'{port.container_port}/{port.protocol} -> '}{binding}": None
        for port, endpoint in sorted(found, key=lambda each: _by_container_port(each[0]))
        for binding in bindings(port, endpoint)
    }
    return list(lines)


def bindings(port: Port, endpoint: Endpoint) -> tuple[str, ...]:
    """Where the host listens for a port: ADDRESS:PORT, of every address for each family of the container."""
    if port.host_ip:
        address = f"[{port.host_ip}]" if ":" in port.host_ip else port.host_ip
        return (f"{address}:{port.host_port}",)
    both = any(":" in each for each in endpoint.addresses)
    return (f"{EVERY_ADDRESS}:{port.host_port}", *((f"[::]:{port.host_port}",) if both else ()))


def matches(one: Attached, filters: Iterable[Filter]) -> bool:
    """Whether a container on a network passes all filters. One value of a key must match, of labels all."""
    return all(_passes(one, each) for each in filters)


def _passes(one: Attached, one_filter: Filter) -> bool:
    container = one.container
    if one_filter.key == "label":
        return all(has_label(container.labels, each) for each in one_filter.values)
    exact = {
        "namespace": container.namespace,
        "network": one.network,
        "runtime": container.runtime,
        "status": container.state,
    }
    if one_filter.key in exact:
        return exact[one_filter.key] in one_filter.values
    text = container.name if one_filter.key == "name" else container.id
    return any(like(each, text) for each in one_filter.values)


def _host_link(endpoint: Endpoint | None) -> str:
    return next(iter(endpoint.host_links), "") if endpoint else ""


def _port(port: Port) -> dict[str, Any]:
    return {
        "HostIp": port.host_ip,
        "HostPort": port.host_port,
        "ContainerPort": port.container_port,
        "Protocol": port.protocol,
    }


def _by_container_port(port: Port) -> tuple[int, str, int]:
    return port.container_port, port.protocol, port.host_port
