"""Sockets of this host that receive from anybody."""

from __future__ import annotations

from dataclasses import dataclass

from linkspan.cni.addresses import Family, family_of

_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A socket that listens, or of udp one that is bound and not connected, at an address of one family.

    `address` is 0.0.0.0 or :: for every address of the family. An IPv6 socket that receives IPv4 too is two
    listeners with the same `inode`, the number by which /proc knows a socket.
    """

    protocol: str
    address: str
    port: int
    inode: int

    def overlaps(self, family: Family, address: str) -> bool:
        """Whether nobody else could listen on its port of an address, or with "" of all of a family.

        As the kernel decides for two sockets that are not bound to a link (inet_csk_get_port).
        """
        if family_of(self.address) != family:
            return False
        return not address or address == self.address or self.address in _EVERY_ADDRESS
