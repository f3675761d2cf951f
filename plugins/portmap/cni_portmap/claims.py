"""Who holds which host port: one small file for each claim, below `<state>/ports/<protocol>/<port>/`.

A file is named after the host address, or any4 and any6, and the attachment, and names its owner and the owner's host-side link.
Without that link the owner is gone, and its port is free. A container on several networks claims its ports on each of them, since
runtimes ask every network's portmap for the same ports: the last ADD is served, and when it goes, the one before. Whoever reads or
writes here holds the lock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cni_portmap.publication import Entry, Publication
from linkspan import paths
from linkspan.cni.errors import PortTaken
from linkspan.cni.model import Attachment

if TYPE_CHECKING:
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a claim names. `host_link` is "" when no link tells whether it lives."""

    attachment: Attachment
    host_link: str


def lock(host: Host) -> AbstractContextManager[None]:
    """Exclude others from all claims of this host."""
    return host.files.lock(paths.lock(host.state_dir, "ports"))


def make_room(host: Host, publication: Publication, evict: Callable[[Attachment], object]) -> None:
    """See that no other container holds a port of the publication; owners that are gone are evicted. Under the lock.

    Raises PortTaken naming the one that lives.
    """
    for entry in publication.all_entries():
        for owner in _holders(host, entry):
            if owner.attachment.container_id == publication.attachment.container_id:
                continue
            if lives(host, owner.host_link):
                raise _taken(entry, owner.attachment)
            evict(owner.attachment)


def take(host: Host, publication: Publication) -> None:
    """Write the publication's claims. Under the lock."""
    whom = publication.attachment
    content = {
        "network": whom.network,
        "containerID": whom.container_id,
        "ifname": whom.ifname,
        "hostLink": publication.host_link,
    }
    for entry in publication.all_entries():
        host.files.write(_path(host, whom, entry), json.dumps(content).encode())


def siblings(host: Host, publication: Publication) -> tuple[Attachment, ...]:
    """The other attachments of its container that claim a port of the publication too."""
    found = (owner.attachment for entry in publication.all_entries() for owner in _holders(host, entry))
    return tuple(dict.fromkeys(each for each in found if _is_sibling(each, publication.attachment)))


def _is_sibling(one: Attachment, other: Attachment) -> bool:
    return one != other and one.container_id == other.container_id


def release(host: Host, publication: Publication) -> None:
    """Remove the publication's claims. Under the lock."""
    _release(host, publication.attachment, publication.all_entries())


def release_others(host: Host, old: Publication, new: Publication) -> None:
    """Remove the claims of an earlier ADD that the new one does not make. Under the lock."""
    kept = {(each.protocol, each.host_port, each.place) for each in new.all_entries()}
    gone = (each for each in old.all_entries() if (each.protocol, each.host_port, each.place) not in kept)
    _release(host, old.attachment, gone)


def _release(host: Host, attachment: Attachment, entries: Iterable[Entry]) -> None:
    for entry in entries:
        host.files.remove(_path(host, attachment, entry))
        host.files.remove_folder(_folder(host, entry))


def _folder(host: Host, entry: Entry) -> str:
    return paths.port_claims(host.state_dir, entry.protocol, entry.host_port)


def _path(host: Host, attachment: Attachment, entry: Entry) -> str:
    return f"{_folder(host, entry)}/{entry.place}.{attachment.key}"


def _holders(host: Host, entry: Entry) -> Iterable[Owner]:
    """The owners of claims that overlap: "any" overlaps every address of its family."""
    folder = _folder(host, entry)
    for name in host.files.names(folder):
        place = name.rpartition(".")[0]
        family = 6 if ":" in place or place == "any6" else 4
        overlaps = place == entry.place or "any4" in (place, entry.place) or "any6" in (place, entry.place)
        owner = _owner(host, f"{folder}/{name}") if family == entry.family and overlaps else None
        if owner is not None:
            yield owner


def _owner(host: Host, path: str) -> Owner | None:
    try:
        claim = json.loads(host.files.read(path) or b"")
        attachment = Attachment(claim["network"], claim["containerID"], claim["ifname"])
        return Owner(attachment, str(claim.get("hostLink", "")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def lives(host: Host, host_link: str) -> bool:
    """Whether an attachment with this host-side link still is; one without such a link is never taken for dead."""
    return not host_link or host.links().get(host_link) is not None


def _taken(entry: Entry, by: Attachment) -> PortTaken:
    where = f" on {entry.host_ip}" if entry.host_ip else ""
    port = f"{entry.host_port}/{entry.protocol}{where}"
    return PortTaken(
        f"host port {port} is taken by container {by.container_id[:32]} on network {by.network[:24]}",
        f"{by} holds it; choose another host port, or remove that container",
    )
