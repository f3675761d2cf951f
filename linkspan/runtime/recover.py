"""Records that were removed while containers were attached, as by `rm -rf /run/linkspan`.

libcni's cache has what each attachment was asked for and answered with, so the records of those that live are
written again. What the kernel still has of the others is removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from linkspan import paths
from linkspan.call.plugin import MODULES, load
from linkspan.call.records import Records
from linkspan.call.transaction import best_effort
from linkspan.cni.json_value import parse_json
from linkspan.runtime.cache import CACHE_DIR
from linkspan.runtime.endpoints import Endpoint, from_cache
from linkspan.runtime.invoke import ours
from linkspan.runtime.lists import as_mapping, parse

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment, Request
    from linkspan.host.contract import Host

#: The plugin whose record every attachment of ours has.
_FIRST = "bridge"


def recover(host: Host, network: str = "") -> tuple[Attachment, ...]:
    """Write the records that are missing, of one network or of all, and remove what is left of the dead.

    The attachments that have records again. Nothing is done unless the state directory was removed. Raises
    the first failure, when all else is done.
    """
    mark = paths.removed_mark(host.state_dir)
    if not host.files.exists(mark):
        return ()
    living = [each for each in _cached(host) if _lacks_record(host, each[0]) and _is_of(each[0], network)]
    best_effort(
        *(partial(_adopt, host, endpoint, document) for endpoint, document in living),
        *(partial(_forget, host, plugin, network) for plugin in MODULES),
    )
    if not network:
        host.files.remove(mark)
    return tuple(endpoint.attachment for endpoint, _ in living)


def _cached(host: Host) -> Iterator[tuple[Endpoint, Mapping[str, Any]]]:
    for name in host.files.names(CACHE_DIR):
        try:
            document = parse_json(host.files.read(f"{CACHE_DIR}/{name}") or b"null")
        except ValueError:
            continue
        endpoint = from_cache(document)
        if endpoint is not None:
            yield endpoint, as_mapping(document)


def _is_of(endpoint: Endpoint, network: str) -> bool:
    return network in ("", endpoint.attachment.network)


def _lacks_record(host: Host, endpoint: Endpoint) -> bool:
    """Whether an attachment of ours, known by the name and address of its host end, has no record."""
    link = host.links().get(endpoint.attachment.host_veth)
    return (
        link is not None
        and link.mac == endpoint.attachment.host_mac
        and Records(host, _FIRST).read(endpoint.attachment) is None
    )


def _adopt(host: Host, endpoint: Endpoint, document: Mapping[str, Any]) -> None:
    """Write the record of each plugin of the list that is ours, in order.

    The chained ones do their ADD again, which changes nothing of what is there.
    """
    from linkspan.call.dispatch import perform
    from linkspan.cni.request import configured

    for request in requests(endpoint, document):
        plugin = load(request.plugin)
        if plugin.adopt is not None:
            plugin.adopt(configured(request, plugin.type, plugin.schema), host)
        elif plugin.chained:
            perform(plugin, request, host)


def requests(endpoint: Endpoint, document: Mapping[str, Any]) -> Iterator[Request]:
    """The ADD of each plugin of ours, as the runtime made it but with the result of the whole list.

    Raises InvalidList for an entry without its list.
    """
    from linkspan.cni.request import Input, read_request

    one = parse(endpoint.list_text, "")
    env = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": endpoint.attachment.container_id,
        "CNI_NETNS": endpoint.sandbox,
        "CNI_IFNAME": endpoint.attachment.ifname,
        "CNI_ARGS": ";".join(f"{key}={value}" for key, value in endpoint.args.items()),
    }
    asked = as_mapping(document.get("capabilityArgs"))
    for plugin in one.plugins:
        kind = ours(plugin.get("type"))
        capabilities = as_mapping(plugin.get("capabilities"))
        if kind:
            config = {
                **plugin,
                "cniVersion": one.document.get("cniVersion", "0.1.0"),
                "name": one.name,
                "prevResult": document.get("result"),
                "runtimeConfig": {key: asked[key] for key in asked if capabilities.get(key)},
            }
            yield read_request(kind, env, Input.parse(json.dumps(config).encode()))


def _forget(host: Host, cni_type: str, network: str) -> None:
    """Remove what a plugin left of attachments that are gone."""
    plugin = load(cni_type)
    if plugin.unrecorded is None or plugin.forget is None:
        return
    dead = (each for each in plugin.unrecorded(host) if host.links().get(each.host_veth) is None)
    best_effort(*(partial(plugin.forget, host, each) for each in dead if network in ("", each.network)))
