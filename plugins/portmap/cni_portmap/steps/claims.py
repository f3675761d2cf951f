"""Which attachment uses which host port: one small file per claim, in `<state>/ports/<protocol>/<port>/`.

A file is named after the host address, or any4 and any6, and the attachment; it names its owner and the
owner's host link. If that link no longer exists, the owner is considered dead, and its port is free. A
container on several networks claims its ports on each of them, since runtimes publish the same ports on
every network; `preferred` decides which of them is served. Readers and writers hold the lock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cni_portmap.config import PROTOCOLS
from linkspan import paths
from linkspan.call.records import discard, read_json
from linkspan.cni.errors import PortTaken
from linkspan.cni.model import Attachment

if TYPE_CHECKING:
    from cni_portmap.facts import Entry, Publication
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True)
class Owner:
    """What a claim names. `host_link` is "" if the attachment has no link on the host."""

    attachment: Attachment
    host_link: str


def lock(host: Host) -> AbstractContextManager[None]:
    """Exclude others from all claims of this host."""
    return host.files.lock(paths.lock(host.state_dir, "ports"))


def evict_dead_owners(host: Host, publication: Publication, withdraw: Callable[[Attachment], object]) -> None:
    """Have dead containers withdrawn that claim a port of the publication. Under the lock.

    Raises PortTaken if another container that claims one is alive.
    """
    for entry in publication.all_entries():
        for owner in _owners(host, entry, publication.attachment):
            if owner.attachment.container_id == publication.attachment.container_id:
                continue
            if is_alive(host, owner.host_link):
                raise _taken(host, entry, owner.attachment)
            withdraw(owner.attachment)


def take(host: Host, publication: Publication) -> None:
    """Write the publication's claims. Under the lock."""
    attachment = publication.attachment
    content = {**attachment.to_json(), "hostLink": publication.host_link}
    for entry in publication.all_entries():
        path = f"{_folder(host, entry)}/{_name(entry, attachment)}"
        host.files.write(path, json.dumps(content).encode())


def of_same_container(host: Host, publication: Publication) -> tuple[Attachment, ...]:
    """The other attachments of its container that claim a port of the publication too."""
    own = publication.attachment
    entries = publication.all_entries()
    claimed = (owner.attachment for entry in entries for owner in _owners(host, entry, own))
    found = (each for each in claimed if each.container_id == own.container_id)
    return tuple(dict.fromkeys(found))


def release(host: Host, attachment: Attachment, entries: Iterable[Entry]) -> None:
    """Remove an attachment's claims of these ports. Under the lock."""
    for entry in entries:
        _remove(host, _folder(host, entry), _name(entry, attachment))


def release_all(host: Host, attachment: Attachment) -> None:
    """Remove every claim of an attachment; the cost grows with all claims. Under the lock."""
    for protocol in PROTOCOLS:
        ports = paths.protocol_claims(host.state_dir, protocol)
        for port in host.files.names(ports):
            for name in host.files.names(f"{ports}/{port}"):
                if name.endswith(f".{attachment.key}"):
                    _remove(host, f"{ports}/{port}", name)


def is_alive(host: Host, host_link: str) -> bool:
    """Whether an attachment with this host link exists; one without a link is never considered dead."""
    return not host_link or host.links().get(host_link) is not None


def _remove(host: Host, folder: str, name: str) -> None:
    discard(host.files, f"{folder}/{name}")
    host.files.remove_folder(folder)


def _folder(host: Host, entry: Entry) -> str:
    return paths.port_claims(host.state_dir, entry.protocol, entry.host_port)


def _name(entry: Entry, attachment: Attachment) -> str:
    return f"{entry.place}.{attachment.key}"


def _owners(host: Host, entry: Entry, besides: Attachment) -> Iterator[Owner]:
    """The owners of other claims that overlap: "any" overlaps every address of its family."""
    folder = _folder(host, entry)
    for name in host.files.names(folder):
        place, _, key = name.rpartition(".")
        family = 6 if ":" in place or place == "any6" else 4
        overlaps = place == entry.place or "any4" in (place, entry.place) or "any6" in (place, entry.place)
        is_other = family == entry.family and overlaps and key != besides.key
        owner = _owner(host, f"{folder}/{name}") if is_other else None
        if owner is not None:
            yield owner


def _owner(host: Host, path: str) -> Owner | None:
    """Whom a claim names; None for a file that is damaged."""
    claim = read_json(host.files, path)
    words = ("network", "containerID", "ifname", "hostLink")
    if not isinstance(claim, dict) or not all(isinstance(claim.get(word), str) for word in words):
        return None
    return Owner(Attachment.from_json(claim), claim["hostLink"])


def _taken(host: Host, entry: Entry, by: Attachment) -> PortTaken:
    from linkspan.steps.containers import described

    where = f" on {entry.host_ip}" if entry.host_ip else ""
    port = f"{entry.host_port}/{entry.protocol}{where}"
    return PortTaken(
        f"host port {port} is taken by container {by.short_id} on network {by.network[:24]}",
        f"container {described(host, by)} uses it; choose another host port, or remove that container",
    )
