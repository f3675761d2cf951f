"""Which container is on which network: endpoints and containers brought together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from linkspan.cni.model import Attachment
from linkspan.runtime import names
from linkspan.runtime.container import Container
from linkspan.runtime.endpoints import Endpoint
from linkspan.runtime.owners import Owner

#: The network of a container whose attachments the user may not read.
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A container on a network.

    `network` is the network's name; `host` or `none`; `container:NAME` for one that is in the network
    namespace of another; "" if it is stopped; UNKNOWN. `endpoint` is None in all cases but the first.
    `dns_names` are those by which others on the network find it.
    """

    container: Container
    network: str
    endpoint: Endpoint | None = None
    dns_names: tuple[str, ...] = ()


def attached(
    endpoints: Iterable[tuple[Endpoint, Owner]],
    containers: Sequence[Container],
    dns_names: Mapping[Attachment, tuple[str, ...]],
    *,
    complete: bool = True,
) -> tuple[Attached, ...]:
    """Every endpoint with its container, then the pods and containers without any, each by name.

    `complete`: whether the endpoints are all that there are.
    """
    known = _Known(containers)
    found = [
        Attached(
            container=known.of_endpoint(endpoint) or _known_by_its_attachment(endpoint, owner),
            network=endpoint.attachment.network,
            endpoint=endpoint,
            dns_names=dns_names.get(endpoint.attachment, ()),
        )
        for endpoint, owner in endpoints
    ]
    otherwise = names.NONE if complete else UNKNOWN
    found += _without_endpoint([each.container for each in found], containers, otherwise)
    return tuple(sorted(found, key=lambda each: each.container.name))


def of_container(container: Container, found: Iterable[Attached]) -> list[Endpoint]:
    """The endpoints that a container has, or shares because it is in the same network namespace."""
    return [
        each.endpoint
        for each in found
        if each.endpoint is not None
        and (
            (each.container.runtime, each.container.id) == (container.runtime, container.id)
            or (container.attachment_id == each.container.attachment_id != "")
            or (container.netns_identity == each.container.netns_identity != "")
        )
    ]


def _without_endpoint(
    on_networks: Sequence[Container], containers: Sequence[Container], otherwise: str
) -> Iterator[Attached]:
    taken = {(each.runtime, each.id) for each in on_networks}
    shared = {each.netns_identity: each.name for each in on_networks if each.netns_identity}
    for each in containers:
        if each.is_pod and (each.runtime, each.id) not in taken:
            yield Attached(container=each, network=_network_without_endpoint(each, shared, otherwise))


def _network_without_endpoint(container: Container, shared: Mapping[str, str], otherwise: str) -> str:
    if container.host_network:
        return names.HOST
    if container.netns_identity in shared:
        return f"container:{shared[container.netns_identity]}"
    return otherwise if container.netns else ""


class _Known:
    """Containers by what attachments say of them."""

    def __init__(self, containers: Iterable[Container]) -> None:
        pods = [each for each in containers if each.is_pod]
        self._by_id = {each.attachment_id: each for each in pods if each.attachment_id}
        self._by_path = {each.netns: each for each in pods if each.runtime == "netns"}

    def of_endpoint(self, endpoint: Endpoint) -> Container | None:
        """The container of an attachment: by its ID, or by the path of its namespace if that has a name."""
        netns = endpoint.sandbox.replace("/var/run/", "/run/", 1)
        return self._by_id.get(endpoint.attachment.container_id) or self._by_path.get(netns)


def _known_by_its_attachment(endpoint: Endpoint, owner: Owner) -> Container:
    """A container whose runtime has left nothing of it but its attachment."""
    netns = "" if endpoint.sandbox.startswith("/proc/") else endpoint.sandbox
    return Container(
        runtime=owner.runtime,
        id=owner.id,
        name=owner.name,
        attachment_id=endpoint.attachment.container_id,
        namespace=owner.namespace,
        netns=netns,
    )
