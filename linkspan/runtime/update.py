"""Changing a network's list in place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from linkspan.runtime import names
from linkspan.runtime.compose import changed, encode
from linkspan.runtime.errors import PredefinedNetwork, UnfitList
from linkspan.runtime.network import Network

if TYPE_CHECKING:
    from linkspan.runtime.files import Directory


def update(
    network: Network,
    directory: Directory,
    *,
    dns: bool | None,
    labels: Mapping[str, str],
    removed_labels: Collection[str],
) -> bool:
    """Switch names on or off, set and remove labels; whether anything changed. Wants the directory's lock
    held.

    Raises PredefinedNetwork, UnfitList, OSError.
    """
    if not network.list.path:
        raise PredefinedNetwork(
            f"network {network.name} has no list that could be changed",
            fix=""
            if network.name in (names.HOST, names.NONE)
            else "create it with `linkspan network create`",
        )
    if not network.list.path.endswith(".conflist"):
        raise UnfitList(
            f"{network.list.path} holds a single plugin",
            fix="write it as a list, with the key plugins, in a file that ends in .conflist",
        )
    if dns and not network.dns and not _has_gateway(network):
        raise UnfitList(
            f"network {network.name} has no gateway on which a name server could listen",
            by=[network.list.path],
            fix="only networks of the plugin bridge with isGateway or isDefaultGateway can have names",
        )
    document = changed(network.list, dns=dns, labels=labels, removed_labels=removed_labels)
    if document == network.list.document:
        return False
    directory.write(network.list.path, encode(document))
    return True


def _has_gateway(network: Network) -> bool:
    first = network.list.first
    return network.driver == "bridge" and True in (first.get("isGateway"), first.get("isDefaultGateway"))
