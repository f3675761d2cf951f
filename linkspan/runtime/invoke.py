"""Calls of our own plugins that a runtime makes for a whole network, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from linkspan.call.plugin import ALIASES, MODULES
from linkspan.cni.errors import InvalidConfig
from linkspan.runtime.lists import NetworkList, as_mapping
from linkspan.runtime.network import Network

if TYPE_CHECKING:
    from linkspan.call.plugin import Plugin
    from linkspan.cni.model import Attachment, Request
    from linkspan.host.contract import Host


def remove_network(
    one: NetworkList, host: Host, valid: Collection[Attachment], *, keep_shared: bool = False
) -> None:
    """Remove everything that our plugins created for a network whose containers are gone.

    First GC, for containers that ended without a DEL; `valid` are attachments to another network of that
    name. Then, unless `keep_shared`, what attachments shared. A plugin that fails does not keep the others
    from theirs: the first failure is raised at the end.
    """
    from linkspan.call.plugin import load
    from linkspan.call.transaction import best_effort

    bridge = Network(one).bridge
    actions: list[Callable[[], object]] = []
    for cni_type, configuration in _ours(one):
        request = gc_request(one.name, cni_type, configuration, valid)
        actions.append(partial(_collect, load(cni_type), request, host))
        if not keep_shared:
            actions.append(partial(_remove_shared, load(cni_type), request, host, bridge))
    # With an invalid configuration nobody was ever attached.
    best_effort(*(partial(_unless_invalid, each) for each in actions))


def gc_request(
    network: str, cni_type: str, configuration: Mapping[str, Any], valid: Collection[Attachment]
) -> Request:
    """A GC of one plugin (SPEC 1.1.0, section 4)."""
    from linkspan.cni.request import Input, read_request

    document = {
        **configuration,
        "cniVersion": "1.1.0",
        "name": network,
        "cni.dev/valid-attachments": [
            {"containerID": each.container_id, "ifname": each.ifname} for each in valid
        ],
    }
    return read_request(cni_type, {"CNI_COMMAND": "GC"}, Input.parse(json.dumps(document).encode()))


def _collect(plugin: Plugin, request: Request, host: Host) -> None:
    from linkspan.call.dispatch import perform

    perform(plugin, request, host)


def _remove_shared(plugin: Plugin, request: Request, host: Host, bridge: str) -> None:
    from linkspan.cni.request import configured

    if plugin.remove_shared is not None:
        plugin.remove_shared(configured(request, plugin.type, plugin.schema), host, bridge)


def _unless_invalid(action: Callable[[], object]) -> None:
    with suppress(InvalidConfig):
        action()


def _ours(one: NetworkList) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The plugins of a list that are ours, the last first: type and configuration.

    IPAM plugins are called by themselves, not by the plugin before them, so that no executable is needed.
    """
    for configuration in reversed(one.plugins):
        kind = ours(configuration.get("type"))
        if kind:
            yield kind, {key: value for key, value in configuration.items() if key != "ipam"}
        ipam = ours(as_mapping(configuration.get("ipam")).get("type"))
        if ipam:
            yield ipam, configuration


def ours(cni_type: object) -> str:
    """The type of our plugin that answers for a type or an alias, "" if none does."""
    known = ALIASES.get(str(cni_type), str(cni_type))
    return known if known in MODULES else ""
