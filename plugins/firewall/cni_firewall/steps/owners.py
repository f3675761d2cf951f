"""Which attachment an address's rules belong to: one small file per address, `<state>/firewall/<address>`.

The rules of an address do not say whose they are. A container that is deleted late, or twice, must not remove
those of the container that has its address now. Readers and writers hold the lock.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from linkspan import paths
from linkspan.call.records import discard, read_json
from linkspan.cni.model import Attachment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from linkspan.host.contract import Host


def lock(host: Host) -> AbstractContextManager[None]:
    """Exclude others from all owners of this host."""
    return host.files.lock(paths.lock(host.state_dir, "firewall-owners"))


def take(host: Host, attachment: Attachment, addresses: Sequence[str]) -> None:
    """Make the attachment the owner, whoever was. Under the lock."""
    words = [attachment.network, attachment.container_id, attachment.ifname]
    for each in addresses:
        host.files.write(_path(host, each), json.dumps(words).encode())


def not_of_others(host: Host, attachment: Attachment, addresses: Sequence[str]) -> tuple[str, ...]:
    """Those of the addresses that no other attachment owns. Under the lock."""
    return tuple(each for each in addresses if _owner(host, each) in (None, attachment))


def addresses_of(host: Host, attachment: Attachment) -> tuple[str, ...]:
    """The addresses that an attachment owns; the cost grows with all owners. Under the lock."""
    names = host.files.names(paths.address_owners(host.state_dir))
    return tuple(each for each in names if _owner(host, each) == attachment)


def release(host: Host, addresses: Sequence[str]) -> None:
    """Remove the owners of these addresses. Under the lock."""
    for each in addresses:
        discard(host.files, _path(host, each))
    host.files.remove_folder(paths.address_owners(host.state_dir))


def _path(host: Host, address: str) -> str:
    return f"{paths.address_owners(host.state_dir)}/{address}"


def _owner(host: Host, address: str) -> Attachment | None:
    """The owner of an address; None without one, or if the file is damaged."""
    words = read_json(host.files, _path(host, address))
    if not isinstance(words, list) or [type(each) for each in words] != [str, str, str]:
        return None
    return Attachment(*words)
