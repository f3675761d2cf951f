"""Attaching a running container to a further network, and detaching it."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from linkspan.call import connections, following
from linkspan.call.chain import Chain
from linkspan.call.connections import Connection
from linkspan.cni.json_value import parse_json
from linkspan.cni.model import Attachment
from linkspan.runtime import cache, chains, names
from linkspan.runtime.attached import of_container
from linkspan.runtime.attachments import Attachments
from linkspan.runtime.errors import AlreadyConnected, CannotConnect, NoSuchNetwork, NotConnected, NotRunning
from linkspan.runtime.lists import as_list, as_mapping

if TYPE_CHECKING:
    from linkspan.host.contract import Host
    from linkspan.runtime.container import Container
    from linkspan.runtime.endpoints import Endpoint
    from linkspan.runtime.network import Network

#: Beginning of the names of interfaces: what runtimes pick, and what they never do. podman counts the former
#: in its own database, and fails on one that it does not know.
_PREFIX, _OTHER_PREFIX = "eth", "net"
#: The runtimes that start a container again, and call plugins for it.
_RESTARTED = ("nerdctl", "podman")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """What a user asks for beside the network; "" for what the plugins choose."""

    ips: tuple[str, ...] = ()
    mac: str = ""
    aliases: tuple[str, ...] = ()
    ifname: str = ""


def connect(network: Network, container: Container, requested: Requested, host: Host, path: str) -> bool:
    """Attach a container, for as long as the runtime does not remove it; False if only until it is restarted.

    One that is stopped is attached when its runtime starts it. `path` is CNI_PATH. Raises CannotConnect,
    AlreadyConnected, NotRunning, CniError.
    """
    refuse_unfit(network, container)
    with following.exclusively(host, container.cni_id):
        following.clear_interrupted(host, container.cni_id)
        endpoints = endpoints_of(container, Attachments(host))
        known = connections.of_container(host.files, container.cni_id)
        _refuse_connected(network, container, endpoints, known)
        taken = [each.attachment.ifname for each in known] + _interfaces(container, host)
        anchor = anchor_among(endpoints, host)
        connection = Connection(
            chain=_chain(network, container, requested, taken, path),
            anchor=anchor or connections.ANY,
            boot=host.boot,
            container=container.name,
        )
        if not container.netns:
            connections.write(host.files, connection)
            return True
        try:
            following.attach(connection, host, container.netns)
            _refuse_removed(network, connection, host)
        except BaseException:
            connections.remove(host.files, connection.attachment)
            raise
    return anchor is not None or container.runtime == "netns"


def disconnect(network: Network, container: Container, host: Host, path: str) -> bool:
    """Detach a container; False if its runtime will attach it again when it is restarted.

    Raises NotConnected, CniError.
    """
    with following.exclusively(host, container.cni_id):
        mine = [
            each
            for each in connections.of_container(host.files, container.cni_id)
            if each.chain.network == network.name
        ]
        for each in mine:
            # Who is stopped has nothing, or something that its end has left.
            current = replace(each, chain=replace(each.chain, netns=container.netns))
            following.detach(current, host, still=lambda: True)
            connections.remove(host.files, each.attachment)
        if mine:
            return True
        found = [
            each
            for each in endpoints_of(container, Attachments(host))
            if each.attachment.network == network.name
        ]
        for endpoint in found:
            _detach(endpoint, container, host, path)
    if not found:
        raise NotConnected(f"container {container.name} is not connected to network {network.name}")
    return False


def refuse_unfit(network: Network, container: Container) -> None:
    """Raise CannotConnect or NotRunning if a container cannot be attached to a network by us."""
    if network.name in (names.HOST, names.NONE):
        raise CannotConnect(f"container cannot be connected to network {network.name}")
    if container.host_network:
        raise CannotConnect(
            f"container {container.name} has the network of the host, to which nothing can be attached",
            fix="start it with another network",
        )
    if container.shares_netns and container.is_pod:
        raise CannotConnect(
            f"container {container.name} has the network of another container", fix="connect that one"
        )
    if not container.netns and container.runtime not in _RESTARTED:
        raise NotRunning(f"container {container.name} is not running", fix=container.started_by)
    if not container.cni_id:
        raise CannotConnect(
            f"{container.id} is not a container", fix="name its network namespace: ip netns attach"
        )


def anchor_among(endpoints: Sequence[Endpoint], host: Host) -> tuple[str, str] | None:
    """Network and interface of the attachment that others follow: the first that a plugin of ours made for
    the runtime.
    """
    from linkspan.call.records import Records

    records = Records(host, "bridge")
    found = (each.attachment for each in endpoints if not each.connected)
    ours = [each for each in found if records.read(each) is not None]
    first = min(ours, key=lambda each: (each.ifname, each.network), default=None)
    return None if first is None else (first.network, first.ifname)


def free_ifname(prefix: str, taken: Collection[str]) -> str:
    """The first name PREFIX0, PREFIX1 … that no interface has."""
    return next(name for number in range(len(taken) + 1) if (name := f"{prefix}{number}") not in taken)


def endpoints_of(container: Container, attachments: Attachments) -> list[Endpoint]:
    """The endpoints of a container."""
    return of_container(container, attachments.with_containers())


def _refuse_connected(
    network: Network, container: Container, endpoints: Sequence[Endpoint], known: Sequence[Connection]
) -> None:
    present = [each.attachment.network for each in endpoints] + [each.chain.network for each in known]
    if network.name in present:
        raise AlreadyConnected(
            f"endpoint with name {container.name} already exists in network {network.name}",
            fix=f"linkspan disconnect {network.name} {container.name}",
        )


def _interfaces(container: Container, host: Host) -> list[str]:
    """The names of interfaces that a container has or, if it is stopped, will have from its runtime."""
    if container.netns:
        return [each.name for each in host.links(container.netns).all()]
    try:
        networks = parse_json(container.labels.get("nerdctl/networks", "[]"))
    except ValueError:
        networks = []
    return [f"{_PREFIX}{number}" for number in range(len(as_list(networks)))]


def _refuse_removed(network: Network, connection: Connection, host: Host) -> None:
    """Raise NoSuchNetwork, with the container detached again, if `rm` has removed the network meanwhile."""
    if not network.list.path or os.path.exists(network.list.path):
        return
    for each in connections.of_container(host.files, connection.attachment.container_id):
        if each.attachment == connection.attachment:
            following.detach(each, host, still=lambda: True)
    raise NoSuchNetwork(f"network {network.name} has been removed")


def _chain(
    network: Network, container: Container, requested: Requested, taken: Collection[str], path: str
) -> Chain:
    """The calls of the network's plugins for a new attachment."""
    known = container.netns or container.labels
    prefix = _PREFIX if known and container.runtime != "podman" else _OTHER_PREFIX
    ifname = requested.ifname or free_ifname(prefix, taken)
    capabilities = as_mapping(network.list.first.get("capabilities"))
    args = {"IgnoreUnknown": "1", "K8S_POD_NAME": container.name}
    if requested.ips and capabilities.get("ips") is not True:
        args["IP"] = requested.ips[0]
    if requested.mac and capabilities.get("mac") is not True:
        args["MAC"] = requested.mac
    aliases = [*requested.aliases, *([container.short_id] if container.runtime != "netns" else [])]
    return Chain(
        network=network.name,
        document=network.list.document,
        version=str(network.list.document.get("cniVersion") or ""),
        path=path,
        attachment=Attachment(network.name, container.cni_id, ifname),
        netns=container.netns,
        args=args,
        capabilities={
            "aliases": {network.name: aliases},
            **({"ips": list(requested.ips)} if requested.ips else {}),
            **({"mac": requested.mac} if requested.mac else {}),
        },
    )


def _detach(endpoint: Endpoint, container: Container, host: Host, path: str) -> None:
    """DEL of an attachment that the runtime made, and removal of libcni's entry."""
    from linkspan.call import chain_verbs

    made_by = chains.of_endpoint(endpoint, path)
    if made_by is None:
        raise CannotConnect(
            f"libcni has not kept how {container.name} was attached",
            fix=f"stop {container.name} by its runtime",
        )
    chain_verbs.delete(replace(made_by, netns=container.netns), host, lambda: True)
    host.files.remove(cache.entry_of(endpoint.attachment))
