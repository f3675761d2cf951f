"""Whose rules an address has: one small file for each, `<state>/firewall/<address>`, that names the attachment.

The rules of an address do not say whose they are. A container that is deleted late, or again, must not take away those of the
container that has its address now. Whoever reads or writes here holds the lock.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from linkspan import paths
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


def release(host: Host, addresses: Sequence[str]) -> None:
    """Nobody owns these any more. Under the lock."""
    for each in addresses:
        host.files.remove(_path(host, each))
    host.files.remove_folder(paths.address_owners(host.state_dir))


def _path(host: Host, address: str) -> str:
    return f"{paths.address_owners(host.state_dir)}/{address}"


def _owner(host: Host, address: str) -> Attachment | None:
    try:
        network, container_id, ifname = json.loads(host.files.read(_path(host, address)) or b"")
        return Attachment(network, container_id, ifname)
    except (ValueError, TypeError):
        return None
