"""What is published for one attachment, complete: every rule of both back ends follows from this value alone."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cni_portmap.config import Config
from linkspan.cni.addresses import FAMILIES
from linkspan.cni.model import Attachment, Result
from linkspan.netfilter.backend import Backend
from linkspan.netfilter.rules import Family, Flow


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One host port of one family. `host_ip` is "" for every address of the host; `address` is the container's."""

    family: Family
    protocol: str
    host_ip: str
    host_port: int
    address: str
    container_port: int

    @property
    def place(self) -> str:
        """The host address, or any4 or any6."""
        return self.host_ip or f"any{self.family}"

    @property
    def on_loopback(self) -> bool:
        """Whether only the host itself may use it."""
        return self.host_ip.startswith("127.")

    @property
    def target(self) -> str:
        """The container's address and port as iptables writes them."""
        host = f"[{self.address}]" if self.family == 6 else self.address
        return f"{host}:{self.container_port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """The ports of one attachment. Addresses are the container's in CIDR form, "" where it has none of that family.

    `reflects` is whether we make the bridge send frames back to that link's port. `host_link` is the host-side link by whose being we know that the attachment lives, "" if none is known; `interface` the
    host's interface towards the container.
    """

    attachment: Attachment
    backend: Backend
    config: Config
    address4: str = ""
    address6: str = ""
    host_link: str = ""
    interface: str = ""
    reflects: bool = False

    def address(self, family: Family) -> str:
        """The container's address of a family in CIDR form, or ""."""
        return self.address6 if family == 6 else self.address4

    def subnet(self, family: Family) -> str:
        """The network of that address."""
        return str(ipaddress.ip_interface(self.address(family)).network)

    def entries(self, family: Family) -> tuple[Entry, ...]:
        """The host ports of a family, each once, those on one address first."""
        address = self.address(family).partition("/")[0]
        found = {
            (each.protocol, each.host_port, each.one_address): Entry(
                family=family,
                protocol=each.protocol,
                host_ip=each.one_address,
                host_port=each.host_port,
                address=address,
                container_port=each.container_port,
            )
            for each in self.config.mappings
            if address and family in each.families
        }
        return tuple(sorted(found.values(), key=lambda entry: not entry.host_ip))

    def all_entries(self) -> tuple[Entry, ...]:
        """The host ports of both families."""
        return tuple(entry for family in FAMILIES for entry in self.entries(family))

    def needs_loopback(self) -> bool:
        """Whether the host's own 127.0.0.1 is to reach the container, for which the kernel must route it out."""
        entries = self.entries(4) if self.config.snat and self.interface else ()
        return any(not each.host_ip or each.on_loopback for each in entries)

    @property
    def families(self) -> tuple[Family, ...]:
        """The families that the container has an address of."""
        return tuple(each for each in FAMILIES if self.address(each))

    def shielded(self, family: Family) -> str:
        """The container's address that outsiders may not use, without its prefix length, or ""."""
        return self.address(family).partition("/")[0] if self.config.drop_direct_access else ""

    def unreachable(self) -> tuple[str, ...]:
        """The host addresses asked for whose family the container has no address of."""
        return tuple(
            each.host_ip
            for each in self.config.mappings
            if each.host_ip and not any(self.address(family) for family in each.families)
        )

    def flows(self, *, of_container: bool) -> Iterator[Flow]:
        """Tracked flows of protocols that never end by themselves: those that reach the container, or any to its host ports."""
        for each in self.all_entries():
            if each.protocol != "tcp":
                yield Flow(
                    family=each.family,
                    protocol=each.protocol,
                    to_port=each.host_port,
                    to_address=each.host_ip,
                    reply_from=each.address if of_container else "",
                )

    def to_record(self) -> dict[str, Any]:
        """As JSON; `Records` adds the attachment's words."""
        return {
            "backend": self.backend,
            "config": self.config.to_record(),
            "address4": self.address4,
            "address6": self.address6,
            "hostLink": self.host_link,
            "interface": self.interface,
            "reflects": self.reflects,
        }

    @classmethod
    def from_record(cls, attachment: Attachment, record: Mapping[str, Any]) -> Publication | None:
        """What `to_record` made; None for what cannot be that."""
        try:
            return cls(
                attachment=attachment,
                backend=record["backend"],
                config=Config.from_record(record["config"]),
                address4=record["address4"],
                address6=record["address6"],
                host_link=record["hostLink"],
                interface=record["interface"],
                reflects=record["reflects"],
            )
        except (KeyError, TypeError, AttributeError):
            return None


def first_address(result: Result, ifname: str, family: Family) -> str:
    """The first address (CIDR) of a family on the container's interface, or ""."""
    return next((each.address for each in result.addresses_of(ifname) if each.family == family), "")
