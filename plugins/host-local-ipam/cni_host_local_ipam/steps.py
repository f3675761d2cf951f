"""What host-local changes on the host: leases, and where round robin stands."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cni_host_local_ipam.leases.contract import UNREADABLE, Owner
from cni_host_local_ipam.leases.files import FileLeases
from linkspan.call.transaction import attempt, best_effort, keep
from linkspan.cni.addresses import addresses_among

if TYPE_CHECKING:
    from cni_host_local_ipam.config import Config
    from linkspan.call.transaction import Undo
    from linkspan.cni.addresses import Ip
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True)
class ClaimAddresses:
    """Lease addresses to an attachment, all or none. The lock of the leases is held, but not to undo it."""

    folder: str
    attachment: Attachment
    addresses: tuple[Ip, ...]

    def do(self, host: Host) -> Undo:
        leases = FileLeases(host, self.folder)
        attempt(
            host,
            lambda: leases.claim(self.attachment, self.addresses),
            lambda: leases.release(self.attachment),
        )
        return lambda: release(host, self.folder, self.attachment)


@dataclass(frozen=True, slots=True)
class MoveCursor:
    """Remember the address that was allocated in turn from a range set. Never undone."""

    folder: str
    number: int
    address: Ip

    def do(self, host: Host) -> Undo:
        FileLeases(host, self.folder).move_cursor(self.number, self.address)
        return keep


def release(host: Host, folder: str, attachment: Attachment) -> None:
    """Release all addresses of an attachment. A directory that does not exist is not created."""
    leases = FileLeases(host, folder)
    if leases.exists():
        with leases.locked():
            leases.release(attachment)


def dispose(host: Host, folder: str) -> None:
    """Remove the directory of a network's leases, and what is kept beside it, unless an address is leased."""
    leases = FileLeases(host, folder)
    if leases.exists():
        with leases.locked():
            leases.dispose()


def discard_stale(valid: Collection[tuple[str, str]], config: Config, host: Host) -> None:
    """Release the addresses in the subnets whose (container id, ifname) is not a valid one."""
    leases = FileLeases(host, config.folder)
    if not leases.exists():
        return
    # Leases of the oldest form name no interface.
    known: set[Owner | None] = {UNREADABLE}
    for container_id, ifname in valid:
        known |= {Owner(container_id, ifname), Owner(container_id, "")}
    with leases.locked():
        leased = addresses_among(leases.names())
        stale = [ip for ip in leased if config.concerns(ip) and leases.owner(ip) not in known]
        best_effort(*(partial(leases.discard, ip) for ip in stale))
