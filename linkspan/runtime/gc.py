"""Taking back what belongs to attachments whose container is gone: for runtimes that send no DEL when a
process is killed, and never call GC.

An attachment is gone once its host link is or, if it has none, its namespace. Our plugins are asked for its
DEL while none of their verbs is at work on it, and only if it is still gone then, so that an attachment that
a restarted container gets meanwhile stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from linkspan.call import chain_verbs, connections, following
from linkspan.call.chain import Chain
from linkspan.call.plugin import MODULES
from linkspan.runtime import cache, chains

if TYPE_CHECKING:
    from linkspan.call.connections import Connection
    from linkspan.cni.model import Attachment, Request
    from linkspan.host.contract import Host
    from linkspan.runtime.attachments import Attachments
    from linkspan.runtime.containers import Containers
    from linkspan.runtime.endpoints import Endpoint
    from linkspan.runtime.owners import Owner


@dataclass(frozen=True, slots=True)
class Gone:
    """An attachment whose container is gone; `has_entry`: libcni has kept it."""

    endpoint: Endpoint
    owner: Owner
    has_entry: bool


def find(attachments: Attachments) -> tuple[Gone, ...]:
    """The attachments that are gone and have left something: a record of bridge, or an entry of libcni."""
    return tuple(
        Gone(endpoint, owner, has_entry=bool(endpoint.result)) for endpoint, owner in attachments.gone()
    )


def take_back(one: Gone, host: Host, path: str) -> bool:
    """Remove what an attachment has left, and then libcni's entry; False if it exists again.

    `path` is CNI_PATH. Raises CniError.
    """
    still = partial(_is_gone, one.endpoint, host)
    made_by = chains.of_endpoint(one.endpoint, path) if one.has_entry else None
    if made_by is not None:
        # The path of the namespace may lead to another's by now.
        chain_verbs.delete(replace(made_by, netns=""), host, still)
    _remove_records(one.endpoint.attachment, host, path, still)
    if not still():
        return False
    if one.has_entry:
        host.files.remove(cache.entry_of(one.endpoint.attachment))
    return True


def clear_interrupted(host: Host, container_id: str) -> bool:
    """Remove what a killed `connect` has left; False if there is nothing. Raises CniError."""
    with following.exclusively(host, container_id):
        return bool(following.clear_interrupted(host, container_id))


def interrupted(host: Host) -> dict[str, Connection]:
    """The containers that seem to have a connection which a killed `connect` has left: ID -> that."""
    return {
        each.attachment.container_id: each for each in connections.every(host.files) if each.is_interrupted
    }


def abandoned(host: Host, containers: Containers) -> list[Connection]:
    """What `linkspan connect` keeps of containers that no longer exist."""
    known = {each.cni_id for each in containers.all}
    return [
        each
        for each in connections.every(host.files)
        if each.attachment.container_id not in known and not each.is_interrupted
    ]


def forget(one: Connection, host: Host) -> bool:
    """Remove a connection and what is left of it; False if it exists. Raises CniError."""
    with following.exclusively(host, one.attachment.container_id):
        current = connections.of_container(host.files, one.attachment.container_id)
        if one not in current or not connections.is_gone(one, host):
            return False
        following.detach(one, host, still=lambda: True)
        connections.remove(host.files, one.attachment)
        return True


def _remove_records(attachment: Attachment, host: Host, path: str, still: Callable[[], bool]) -> None:
    """DEL of every plugin of ours that has a record of the attachment, whatever its list said."""
    from linkspan.call.transaction import best_effort

    best_effort(
        *(
            partial(chain_verbs.delete_if, each, _request(attachment, each, path), host, still)
            for each in _with_record(attachment, host)
        )
    )


def _with_record(attachment: Attachment, host: Host) -> Iterator[str]:
    """The plugins that have a record of an attachment, or warned of it, bridge last, as in a list's DEL."""
    from linkspan.call import kept_warnings
    from linkspan.call.records import Records

    for each in sorted(MODULES, key=lambda one: one == "bridge"):
        records = (Records(host, each), kept_warnings.records_of(host, each))
        if any(one.read(attachment) is not None for one in records):
            yield each


def _request(attachment: Attachment, cni_type: str, path: str) -> Request:
    plugin = {"type": cni_type}
    document = {"plugins": [plugin]}
    return Chain(
        network=attachment.network, document=document, version="1.0.0", path=path, attachment=attachment
    ).request("DEL", plugin)


def _is_gone(endpoint: Endpoint, host: Host) -> bool:
    links = host.links()
    present = {each for each in endpoint.host_links if links.get(each) is not None}
    return not endpoint.exists(present, host.files.exists)
