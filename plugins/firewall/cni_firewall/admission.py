"""What one attachment is admitted to, complete: every rule of every back end follows from this value alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from cni_firewall.config import DEFAULT_ADMIN_CHAIN, DEFAULT_ZONE, Backend, Policy
from linkspan.cni.addresses import FAMILIES

if TYPE_CHECKING:
    from linkspan.netfilter.backend import Backend as PacketBackend
    from linkspan.netfilter.rules import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The container's addresses (without prefix length) and how they are let through.

    `bridge` and `port` are the bridge and the attachment's link on the host, each "" if there is none. `fence` is the back end that
    carries `policy` for the bridge, "" if nothing is to be fenced off. `chosen` tells that `backend` was our choice, not the list's.
    """

    backend: Backend
    addresses: tuple[str, ...]
    admin_chain: str = DEFAULT_ADMIN_CHAIN
    zone: str = DEFAULT_ZONE
    policy: Policy = "open"
    bridge: str = ""
    fence: PacketBackend | Literal[""] = ""
    port: str = ""
    chosen: bool = False

    @property
    def families(self) -> tuple[Family, ...]:
        """The families of its addresses."""
        return families_of(self.addresses)

    @property
    def in_iptables(self) -> tuple[Family, ...]:
        """The families that have rules of their own in iptables."""
        return self.families if "iptables" in (self.backend, self.fence) else ()

    @property
    def interface(self) -> str:
        """The host's interface towards the container, "" if it is not known."""
        return self.bridge or self.port

    def of_family(self, family: Family) -> tuple[str, ...]:
        """Its addresses of one family."""
        return tuple(each for each in self.addresses if (":" in each) == (family == 6))

    def to_record(self) -> dict[str, Any]:
        """As JSON; `Records` adds the attachment's words."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Admission | None:
        """What `to_record` made; None for what cannot be that."""
        try:
            fields: dict[str, Any] = {name: record[name] for name in cls.__slots__ if name in record}
            return cls(**{**fields, "addresses": tuple(fields["addresses"])})
        except (KeyError, TypeError):
            return None


def families_of(addresses: Sequence[str]) -> tuple[Family, ...]:
    """The families that these addresses are of."""
    return tuple(family for family in FAMILIES if any((":" in each) == (family == 6) for each in addresses))
