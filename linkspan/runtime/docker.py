"""Networks in Docker's words: the rows of `network ls` and the objects of `network inspect`. Pure.

Shapes: moby, api/types/network (NetworkInspect, 1.52); docker/cli, cli/command/network/formatter.go. What
Docker does not have is in the object `Linkspan`, so that programs that expect Docker's keys are not
disturbed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from linkspan.runtime.network import EVERY_ADDRESS, Network, Subnet

if TYPE_CHECKING:
    from linkspan.runtime.endpoints import Endpoint, Port
    from linkspan.runtime.owners import Owner

#: Columns of `ls` -> their headers.
HEADERS: Mapping[str, str] = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "IPv4": "IPV4",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
    "CreatedAt": "CREATED AT",
}
#: Further columns of `ls --output wide`.
WIDE_HEADERS: Mapping[str, str] = {
    "Subnet": "SUBNET",
    "Gateway": "GATEWAY",
    "Bridge": "BRIDGE",
    "DNS": "DNS",
    "Used": "USED",
    "Ports": "PORTS",
}
_SATURATED = 2**64 - 1

Attached = Sequence[tuple["Endpoint", "Owner"]]


def row(network: Network, *, truncated: bool) -> dict[str, Any]:
    """A network as `ls --format` sees it: strings, as Docker has them."""
    return {
        "CreatedAt": _go_time(network.created),
        "Driver": network.driver,
        "ID": network.id[:12] if truncated else network.id,
        "IPv4": str(network.ipv4).lower(),
        "IPv6": str(network.ipv6).lower(),
        "Internal": str(network.internal).lower(),
        "Labels": ",".join(sorted(f"{key}={value}" for key, value in network.labels.items())),
        "Name": network.name,
        "Scope": network.scope,
    }


def wide_row(network: Network, attached: Attached, *, truncated: bool) -> dict[str, str]:
    """The same with what `ls --output wide` adds."""
    ports = dict.fromkeys(str(port.host_port) for endpoint, _ in attached for port in endpoint.ports)
    return {
        **row(network, truncated=truncated),
        "Subnet": ",".join(each.subnet for each in network.subnets) or "-",
        "Gateway": ",".join(each.gateway for each in network.subnets) or "-",
        "Bridge": network.bridge or "-",
        "DNS": "on" if network.dns else "off",
        "Used": _used(network, attached),
        "Ports": ",".join(sorted(ports, key=int)) or "-",
    }


def summary(network: Network, attached: Attached) -> dict[str, Any]:
    """A network as `ls --output json` and `yaml` print it."""
    ports = dict.fromkeys(port.host_port for endpoint, _ in attached for port in endpoint.ports)
    return {
        "ID": network.id,
        "Name": network.name,
        "Driver": network.driver,
        "Scope": network.scope,
        "Created": _rfc3339(network.created),
        "IPv4": network.ipv4,
        "IPv6": network.ipv6,
        "Internal": network.internal,
        "Labels": dict(network.labels),
        "Subnets": [each.subnet for each in network.subnets],
        "Gateways": [each.gateway for each in network.subnets],
        "Bridge": network.bridge,
        "DNS": network.dns,
        "MTU": network.mtu,
        "Containers": [owner.name for _, owner in attached],
        "Ports": sorted(ports),
        "File": network.list.path,
        "Namespace": network.namespace,
        "CreatedBy": network.creator,
    }


def _used(network: Network, attached: Attached) -> str:
    """Containers, and how many addresses there are for them."""
    if not network.subnets:
        return str(len(attached))
    free = _available(network.subnets[0], attached)
    total = free if free == _SATURATED else free + len(attached)
    return f"{len(attached)}/{total}"


def inspected(network: Network, attached: Attached) -> dict[str, Any]:
    """A network as `inspect` prints it."""
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": _rfc3339(network.created),
        "Scope": network.scope,
        "Driver": network.driver,
        "EnableIPv4": network.ipv4,
        "EnableIPv6": network.ipv6,
        "IPAM": {
            "Driver": network.ipam_driver,
            "Options": {},
            "Config": [_ipam_config(each) for each in network.subnets],
        },
        "Internal": network.internal,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Options": dict(network.options),
        "Labels": dict(network.labels),
        "Containers": _containers(attached),
        "Status": {"IPAM": {"Subnets": {each.subnet: _subnet(each, attached) for each in network.subnets}}},
        "Linkspan": _ours(network, attached),
    }


def _ipam_config(one: Subnet) -> dict[str, Any]:
    return {
        "Subnet": one.subnet,
        **({"IPRange": one.ip_range} if one.ip_range else {}),
        **({"Gateway": one.gateway} if one.gateway else {}),
        **({"AuxiliaryAddresses": dict(one.auxiliary)} if one.auxiliary else {}),
    }


def _containers(attached: Attached) -> dict[str, dict[str, str]]:
    """Container ID -> its endpoint; of two interfaces on one network, which Docker does not have, the
    first.
    """
    found: dict[str, dict[str, str]] = {}
    for endpoint, owner in attached:
        found.setdefault(owner.id, _container(endpoint, owner))
    return found


def _container(endpoint: Endpoint, owner: Owner) -> dict[str, str]:
    return {
        "Name": owner.name,
        "EndpointID": endpoint.id,
        "MacAddress": endpoint.mac,
        "IPv4Address": next((each for each in endpoint.addresses if ":" not in each), ""),
        "IPv6Address": next((each for each in endpoint.addresses if ":" in each), ""),
    }


def _subnet(one: Subnet, attached: Attached) -> dict[str, int]:
    """Docker counts the subnet's own address, its broadcast address and the gateway among those in use."""
    from ipaddress import ip_network

    network = ip_network(one.subnet, strict=False)
    total = min(network.num_addresses, _SATURATED)
    in_use = _held(one, attached) + _reserved(one)
    return {"IPsInUse": in_use, "DynamicIPsAvailable": _available(one, attached) if total else 0}


def _available(one: Subnet, attached: Attached) -> int:
    """How many addresses of a subnet's range a container could still get."""
    from ipaddress import ip_network

    pool = ip_network(one.ip_range or one.subnet, strict=False)
    if pool.num_addresses > _SATURATED:
        return _SATURATED
    taken = _held(one, attached) + (0 if one.ip_range else _reserved(one))
    return max(0, pool.num_addresses - taken)


def _reserved(one: Subnet) -> int:
    return (2 if one.is_ipv6 else 3) + len(one.auxiliary)


def _held(one: Subnet, attached: Attached) -> int:
    from ipaddress import ip_interface, ip_network

    network = ip_network(one.subnet, strict=False)
    addresses = {address for endpoint, _ in attached for address in endpoint.addresses}
    return sum(ip_interface(each).ip in network for each in addresses)


def _ours(network: Network, attached: Attached) -> dict[str, Any]:
    return {
        "File": network.list.path,
        "Namespace": network.namespace,
        "CreatedBy": network.creator,
        "Bridge": network.bridge,
        "MTU": network.mtu,
        "DNS": network.dns,
        "Plugins": [str(each.get("type", "")) for each in network.list.plugins],
        "Endpoints": [_endpoint(endpoint, owner) for endpoint, owner in attached],
    }


def _endpoint(endpoint: Endpoint, owner: Owner) -> dict[str, Any]:
    return {
        "Container": owner.name,
        "ContainerID": endpoint.attachment.container_id,
        "Runtime": owner.runtime,
        "Interface": endpoint.attachment.ifname,
        "HostLink": next(iter(endpoint.host_links), ""),
        "Addresses": list(endpoint.addresses),
        "Ports": [_port(each) for each in endpoint.ports],
        "Warnings": list(endpoint.warnings),
    }


def _port(port: Port) -> str:
    return f"{port.host_ip or EVERY_ADDRESS}:{port.host_port}->{port.container_port}/{port.protocol}"


def _rfc3339(nanoseconds: int) -> str:
    """A time in ns since 1970; 0 is Go's zero time, which stands for an unknown one."""
    if not nanoseconds:
        return "0001-01-01T00:00:00Z"
    seconds, rest = divmod(nanoseconds, 10**9)
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + fraction + "Z"


def _go_time(nanoseconds: int) -> str:
    """As Go prints a time (time.Time.String)."""
    return _rfc3339(nanoseconds).replace("T", " ").replace("Z", " +0000 UTC")
