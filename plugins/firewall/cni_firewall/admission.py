"""What one attachment is admitted to, complete: every rule of every back end follows from this value alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from cni_firewall.config import DEFAULT_ADMIN_CHAIN, DEFAULT_ZONE, Backend, Policy
from linkspan.nft_table import FAMILIES

if TYPE_CHECKING:
    from linkspan.backend import Backend as PacketBackend
    from linkspan.rules import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The container's addresses (without prefix length) and how they are let through.

    `accepted` are the families whose rules stand in iptables: all with that back end, with the others those whose FORWARD chain
    would drop what we accept. `fence` is the back end that carries `policy` for `bridge`, "" if nothing is to be fenced off.
    `port` is the attachment's link on the host, "" if none is known.
    """

    backend: Backend
    addresses: tuple[str, ...]
    accepted: tuple[Family, ...] = ()
    admin_chain: str = DEFAULT_ADMIN_CHAIN
    zone: str = DEFAULT_ZONE
    policy: Policy = "open"
    bridge: str = ""
    fence: PacketBackend | Literal[""] = ""
    port: str = ""

    @property
    def families(self) -> tuple[Family, ...]:
        """The families of its addresses."""
        return families_of(self.addresses)

    @property
    def in_iptables(self) -> tuple[Family, ...]:
        """The families that have any rule in iptables."""
        return self.families if self.fence == "iptables" else self.accepted

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
            fields: dict[str, Any] = {name: record[name] for name in cls.__slots__}
            return cls(
                **{**fields, "addresses": tuple(fields["addresses"]), "accepted": tuple(fields["accepted"])}
            )
        except (KeyError, TypeError):
            return None


def families_of(addresses: Sequence[str]) -> tuple[Family, ...]:
    """The families that these addresses are of."""
    return tuple(family for family in FAMILIES if any((":" in each) == (family == 6) for each in addresses))
