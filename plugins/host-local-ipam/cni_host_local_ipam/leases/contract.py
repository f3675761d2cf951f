"""The contract of a store of leases: where leases are kept, never which address is leased to whom."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from linkspan.cni.addresses import Ip
    from linkspan.cni.model import Attachment


class Owner(NamedTuple):
    """Who has a lease. `ifname` is "" in leases of reference plugins before 0.7."""

    container_id: str
    ifname: str


#: The owner of a lease that cannot be read: the address is taken, and nobody's to release.
UNREADABLE = Owner("", "")


class Leases(Protocol):
    """The leases of one network. Every method but `exists` and `locked` needs the lock held.

    A lease counts until it is released, and no longer than the boot it was made in, which for a host that is
    a container is the life of its network namespace. Methods raise IoFailure
    for an error that says nothing about one lease.
    """

    def exists(self) -> bool:
        """Whether there may be leases; if not, there is nothing to lock and nothing to release."""

    def locked(self) -> AbstractContextManager[None]:
        """Exclude everybody else who changes these leases."""

    def names(self) -> frozenset[str]:
        """The canonical texts of the addresses with a lease, also of an earlier boot.

        Other texts may be among them.
        """

    def foreign(self, names: frozenset[str]) -> frozenset[str]:
        """Those among the names whose lease another implementation made."""

    def owner(self, ip: Ip) -> Owner | None:
        """Who has an address, UNREADABLE if its lease cannot be read; None if it is free."""

    def held_by(self, attachment: Attachment, among: Collection[str] | None = None) -> tuple[Ip, ...]:
        """The addresses an attachment holds, also those of an earlier boot.

        If the store has no index of them, it reads the leases `among` these names, by default all.
        """

    def claim(self, attachment: Attachment, addresses: Sequence[Ip]) -> None:
        """Lease free addresses to an attachment.

        Raises TryAgain if one is not free any more. After an error some may be leased.
        """

    def release(self, attachment: Attachment) -> None:
        """Release what an attachment holds, if anything, and forget it."""

    def discard(self, ip: Ip) -> None:
        """Release an address, whoever holds it. An absent one is fine."""

    def sweep(self) -> None:
        """Forget the leases of earlier boots, which nobody releases any more."""

    def dispose(self) -> None:
        """Remove the store of a network that is removed, unless an address is leased."""

    def cursor(self, number: int) -> Ip | None:
        """The address that was last allocated in turn in a range set; None if there was none."""

    def move_cursor(self, number: int, ip: Ip) -> None:
        """Remember the address that was allocated in turn in a range set."""

    def released(self) -> Mapping[str, int]:
        """Addresses that were released lately -> their place in the order of release."""
