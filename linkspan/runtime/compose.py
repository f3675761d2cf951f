"""The list of a new network, and a list with something changed. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from linkspan.runtime import defaults, names
from linkspan.runtime.lists import (
    DEFAULT_LABEL,
    DEFAULT_NAME,
    ID,
    LABELS,
    OURS,
    PODMAN_LABELS,
    NetworkList,
    as_mapping,
    strings_of,
)
from linkspan.runtime.network import (
    DNS_PLUGINS,
    EVERY_ADDRESS,
    HOST_BINDING_OPTION,
    ICC_OPTION,
    MASQUERADE_OPTION,
    MTU_OPTION,
    NAME_OPTION,
    Subnet,
)
from linkspan.runtime.options import is_true

#: An IPv6 address that no packet from elsewhere is sent to, beside a port that is published on one IPv4
#: address.
_LOOPBACK_V6 = "::1"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNetwork:
    """A network to be created. `options` are Docker's with valid values; `created` is in ns since
    1970; `mtu` 0 is the kernel's.
    """

    name: str
    subnets: tuple[Subnet, ...]
    created: int
    internal: bool = False
    dns: bool = True
    mtu: int = 0
    labels: Mapping[str, str]
    options: Mapping[str, str]

    @property
    def bridge(self) -> str:
        """The name of the bridge."""
        return self.options.get(NAME_OPTION) or names.default_bridge(self.name)


def compose(requested: NewNetwork) -> dict[str, Any]:
    """The list: nerdctl's identifier and labels, ours, and the plugins."""
    plugins = [_bridge(requested)]
    if not requested.internal:
        plugins.append(_portmap(requested))
    if requested.dns:
        plugins.append(dict(defaults.DNS))
    labels = {**requested.labels, **({DEFAULT_LABEL: "true"} if requested.name == DEFAULT_NAME else {})}
    return {
        **defaults.VERSIONS,
        "name": requested.name,
        ID: names.network_id(requested.name),
        **({LABELS: labels} if labels else {}),
        OURS: _ours(requested),
        "plugins": plugins,
    }


def encode(document: Mapping[str, Any]) -> bytes:
    """The bytes of a list file."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape")


def _ours(requested: NewNetwork) -> dict[str, Any]:
    auxiliary = {each.subnet: dict(each.auxiliary) for each in requested.subnets if each.auxiliary}
    return {
        "created": requested.created,
        "options": dict(requested.options),
        **({"auxiliary": auxiliary} if auxiliary else {}),
    }


def _bridge(requested: NewNetwork) -> dict[str, Any]:
    template = defaults.INTERNAL_BRIDGE if requested.internal else defaults.BRIDGE
    plugin: dict[str, Any] = {"type": "bridge", "bridge": requested.bridge, **template}
    mtu = int(requested.options.get(MTU_OPTION, requested.mtu))
    if mtu:
        plugin["mtu"] = mtu
    if not is_true(requested.options.get(MASQUERADE_OPTION), default=True):
        plugin = {key: value for key, value in plugin.items() if key not in ("ipMasq", "ipMasqBackend")}
    if not is_true(requested.options.get(ICC_OPTION), default=True):
        plugin["portIsolation"] = True
    return {**plugin, "ipam": _ipam(requested)}


def _ipam(requested: NewNetwork) -> dict[str, Any]:
    routes = [{"dst": "::/0" if each.is_ipv6 else "0.0.0.0/0"} for each in requested.subnets]
    return {
        "type": "host-local",
        "ranges": [_ranges(each) for each in requested.subnets],
        **({} if requested.internal else {"routes": routes}),
    }


def _ranges(one: Subnet) -> list[dict[str, Any]]:
    """The ranges of a subnet: one, or what auxiliary addresses leave of it, as nerdctl writes them."""
    common = {"subnet": one.subnet, **({"gateway": one.gateway} if one.gateway else {})}
    if not one.ip_range and not one.auxiliary:
        return [common]
    kept = {"ipRange": one.ip_range} if one.ip_range else {}
    pieces = _without(*_bounds(one), sorted(int(ip_address(each)) for each in one.auxiliary.values()))
    address = type(ip_network(one.subnet).network_address)
    return [
        {**common, "rangeStart": str(address(first)), "rangeEnd": str(address(last)), **kept}
        for first, last in pieces
    ]


def _bounds(one: Subnet) -> tuple[int, int]:
    """The first and last address to allocate, as numbers: not the subnet's own, nor its IPv4
    broadcast address.
    """
    subnet, inner = ip_network(one.subnet), ip_network(one.ip_range or one.subnet)
    last = int(subnet.broadcast_address) - (subnet.version == 4)
    return max(int(inner.network_address), int(subnet.network_address) + 1), min(
        int(inner.broadcast_address), last
    )


def _without(first: int, last: int, excluded: Iterable[int]) -> list[tuple[int, int]]:
    pieces = []
    for each in excluded:
        if first < each <= last:
            pieces.append((first, each - 1))
        if first <= each <= last:
            first = each + 1
    return [*pieces, (first, last)] if first <= last else pieces


def _portmap(requested: NewNetwork) -> dict[str, Any]:
    plugin = dict(defaults.PORTMAP)
    address = requested.options.get(HOST_BINDING_OPTION, EVERY_ADDRESS)
    if address != EVERY_ADDRESS:
        del plugin["localhost"]  # what is relayed is matched by its port alone
        plugin["conditionsV4"] = ["ip", "daddr", address]
        plugin["conditionsV6"] = ["ip6", "daddr", _LOOPBACK_V6]
    return plugin


def changed(
    one: NetworkList, *, dns: bool | None = None, labels: Mapping[str, str], removed_labels: Iterable[str]
) -> dict[str, Any]:
    """The list with names switched on or off and labels set or removed; everything else stays as it is."""
    document = _with_labels(one, labels, frozenset(removed_labels))
    plugins = document["plugins"]
    if dns is False:
        document["plugins"] = [each for each in plugins if each.get("type") not in DNS_PLUGINS]
    elif dns and not one.plugin(*DNS_PLUGINS):
        document["plugins"] = [*plugins, dict(defaults.DNS)]
    return document


def _with_labels(one: NetworkList, added: Mapping[str, str], removed: frozenset[str]) -> dict[str, Any]:
    """Labels stand where the list's writer keeps them."""
    document = dict(one.document)
    if one.creator == "podman":
        args = as_mapping(document.get("args"))
        document["args"] = {**args, PODMAN_LABELS: _relabelled(args.get(PODMAN_LABELS), added, removed)}
    elif labels := _relabelled(document.get(LABELS), added, removed):
        document[LABELS] = labels
    else:
        document.pop(LABELS, None)
    return document


def _relabelled(labels: object, added: Mapping[str, str], removed: frozenset[str]) -> dict[str, str]:
    found = {**strings_of(labels), **added}
    return {key: value for key, value in found.items() if key not in removed}
