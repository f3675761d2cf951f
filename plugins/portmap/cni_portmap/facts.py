"""What must be known before planning: of the host, and of what an earlier ADD published."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cni_portmap import NAME
from cni_portmap.config import PROTOCOLS, Config, PortMapping, Protocol
from linkspan.call.decode import from_json
from linkspan.call.records import Records
from linkspan.cni.addresses import FAMILIES, Family, family_of, without_prefix
from linkspan.cni.model import Attachment, Result
from linkspan.netfilter import relay
from linkspan.netfilter.backend import Backend
from linkspan.netfilter.iptables_text import network
from linkspan.netfilter.relay import RelayedPort
from linkspan.netfilter.rules import Flow
from linkspan.steps.backend import choose
from linkspan.steps.bridge_ports import filters_bridged
from linkspan.steps.extras import optional
from linkspan.steps.listeners import Occupant, occupants

if TYPE_CHECKING:
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One host port of one family.

    `host_ip` is "" for every address of the host; `address` is the container's.
    """

    family: Family
    protocol: Protocol
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
        return self.host_ip.startswith("127.") or self.host_ip == "::1"

    @property
    def reaches_loopback(self) -> bool:
        """Whether a loopback address of the host is among those that it is published on."""
        return not self.host_ip or self.on_loopback

    @property
    def target(self) -> str:
        """The container's address and port as iptables writes them."""
        host = f"[{self.address}]" if self.family == 6 else self.address
        return f"{host}:{self.container_port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """The ports of one attachment, complete: every rule of both backends follows from this value alone.

    Addresses are the container's in CIDR form, "" without one of that family. `host_link` is the host's link
    that exists as long as the attachment does, "" if none is known; `interface` is the host's interface
    towards the container. `hairpin` is whether hairpin mode of the bridge port `host_link` is ours. `relayed`
    are the ports of loopback addresses that are relayed, None before they are. `metric` is that of the
    container's default route through this network, 0 as long as no other network publishes its ports.

    Raises ValueError for an address that is not one, as a damaged record may have.
    """

    attachment: Attachment
    backend: Backend
    config: Config
    address4: str = ""
    address6: str = ""
    host_link: str = ""
    interface: str = ""
    hairpin: bool = False
    relayed: tuple[RelayedPort, ...] | None = None
    metric: int = 0

    def __post_init__(self) -> None:
        for family in self.families:
            address = network(self.address(family))
            if family_of(address) != family:
                raise ValueError(f"{address} is not an IPv{family} address")

    def address(self, family: Family) -> str:
        """The container's address of a family in CIDR form, or ""."""
        return self.address6 if family == 6 else self.address4

    def subnet(self, family: Family) -> str:
        """The network of that address."""
        return str(ipaddress.ip_interface(self.address(family)).network)

    def entries(self, family: Family) -> tuple[Entry, ...]:
        """The host ports of a family, each once, those on one address first."""
        found = {
            (each.protocol, each.host_port, each.one_address): Entry(
                family=family,
                protocol=each.protocol,
                host_ip=each.one_address,
                host_port=each.host_port,
                address=self._target(each, family),
                container_port=each.container_port,
            )
            for each in self.config.mappings
            if family in each.families and self._target(each, family)
        }
        return tuple(sorted(found.values(), key=lambda entry: not entry.host_ip))

    def _target(self, mapping: PortMapping, family: Family) -> str:
        """The container's address that a mapping's host ports of a family lead to, or ""."""
        own = without_prefix(self.address(family))
        if own or not (self.relays and mapping.on_loopback):
            return own
        return without_prefix(self.address4 or self.address6)

    def all_entries(self) -> tuple[Entry, ...]:
        """The host ports of both families."""
        return tuple(entry for family in FAMILIES for entry in self.entries(family))

    def translated(self, family: Family) -> tuple[Entry, ...]:
        """Those of the entries that the kernel translates: all that are not only relayed."""
        return tuple(each for each in self.entries(family) if not (self.relays and each.on_loopback))

    @property
    def families(self) -> tuple[Family, ...]:
        """The families of the container's addresses."""
        return tuple(each for each in FAMILIES if self.address(each))

    @property
    def rule_families(self) -> tuple[Family, ...]:
        """The families that it has rules of: a relayed port may be of another family than the container."""
        return tuple(each for each in FAMILIES if self.address(each) or self.entries(each))

    @property
    def relays(self) -> bool:
        """Whether ports of loopback addresses are relayed."""
        return self.config.localhost == "relay"

    def relayed_ports(self) -> tuple[RelayedPort, ...]:
        """The ports that are relayed, or before they are, those to relay."""
        if self.relayed is not None:
            return self.relayed
        return tuple(
            RelayedPort(
                family=each.family,
                protocol=each.protocol,
                host_ip=each.host_ip,
                host_port=each.host_port,
                address=each.address,
                container_port=each.container_port,
            )
            for each in self.all_entries()
            if self.relays and each.reaches_loopback and each.protocol in relay.PROTOCOLS
        )

    def not_relayed(self) -> tuple[Entry, ...]:
        """The ports of one loopback address whose protocol cannot be relayed."""
        return tuple(
            each
            for each in self.all_entries()
            if self.relays and each.on_loopback and each.protocol not in relay.PROTOCOLS
        )

    def routes_loopback(self) -> bool:
        """Whether the host's own 127.0.0.1 is to reach the container, so that the kernel must route it."""
        routed = self.config.snat and self.interface and not self.relays
        return bool(routed) and any(each.reaches_loopback for each in self.entries(4))

    def shielded(self, family: Family) -> str:
        """The container's address that accepts no direct access, without its prefix length, or ""."""
        return without_prefix(self.address(family)) if self.config.drop_direct_access else ""

    def without_address(self) -> tuple[PortMapping, ...]:
        """The configured ports of families of which the container has no address."""
        return tuple(
            each
            for each in self.config.mappings
            if not any(self._target(each, family) for family in each.families)
        )

    def flows(self, *, of_container: bool) -> Iterator[Flow]:
        """The flows of its udp and sctp ports: those that reach the container, or any to its host ports.

        tcp connections are left alone: they end when the other side does not answer as it should.
        """
        for each in self.all_entries():
            if each.protocol != "tcp":
                yield Flow(
                    family=each.family,
                    protocol=each.protocol,
                    to_port=each.host_port,
                    to_address=each.host_ip,
                    reply_from=each.address if of_container else "",
                )
        if of_container:
            yield from relay.flows(self.relayed_ports())

    def to_record(self) -> dict[str, Any]:
        """As JSON; `Records` adds the attachment's words."""
        return {
            "backend": self.backend,
            "config": asdict(self.config),
            "address4": self.address4,
            "address6": self.address6,
            "hostLink": self.host_link,
            "interface": self.interface,
            "reflects": self.hairpin,
            "metric": self.metric,
        }

    @classmethod
    def from_record(cls, attachment: Attachment, record: Mapping[str, Any]) -> Publication | None:
        """What `to_record` made, None for anything else."""
        try:
            return from_json(
                cls,
                {
                    "attachment": asdict(attachment),
                    "backend": record["backend"],
                    "config": record["config"],
                    "address4": record["address4"],
                    "address6": record["address6"],
                    "host_link": record["hostLink"],
                    "interface": record["interface"],
                    "hairpin": record["reflects"],
                    "metric": record.get("metric", 0),
                },
            )
        except (KeyError, ValueError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What ADD decides from. Only `earlier` is read if the configuration is empty.

    `earlier` is what an earlier ADD of the attachment published. `backend` is the one to use, None if none is
    needed; `host_link` and `interface` are as in Publication. `needs_hairpin` is whether the container would
    not reach its own published ports: br_netfilter translates bridged packets, but the bridge does not send
    them back out of the port that they came in by. `occupants` are the sockets of others that listen on the
    configured host ports, on whatever address.
    """

    earlier: Publication | None
    backend: Backend | None = None
    host_link: str = ""
    interface: str = ""
    needs_hairpin: bool = False
    occupants: tuple[Occupant, ...] = ()


def read_facts(request: Request, config: Config, host: Host) -> Facts:
    """Read the facts. Raises InvalidConfig and ToolMissing for the backend, KernelRefused, IoFailure."""
    earlier = recorded(host, request.attachment)
    if config.is_empty:
        return Facts(earlier=earlier)
    backend = choose(host, config.backend)
    result = request.prev_result or Result()
    host_link = _host_link(result, host)
    return Facts(
        earlier=earlier,
        backend=backend,
        host_link=host_link,
        interface=_interface_towards(host, result, request.ifname),
        needs_hairpin=_needs_hairpin(host, config, host_link),
        occupants=_occupants(host, request.attachment, config),
    )


def recorded(host: Host, attachment: Attachment) -> Publication | None:
    """What an ADD recorded; None without a record, or if it is damaged."""
    record = Records(host, NAME).read(attachment)
    return None if record is None else Publication.from_record(attachment, record)


def _interface_towards(host: Host, result: Result, ifname: str) -> str:
    """The outgoing interface of the most specific route to the container but the default route, or ""."""
    first = first_address(result, ifname, 4) or first_address(result, ifname, 6)
    if not first:
        return ""
    address = ipaddress.ip_interface(first).ip
    longest, found = 0, ""
    for route in host.links().routes(family_of(first)):
        length = int(route.dst.rpartition("/")[2])
        if length > longest and address in ipaddress.ip_network(route.dst, strict=False):
            longest, found = length, route.ifname
    return found


def first_address(result: Result, ifname: str, family: Family) -> str:
    """The first address (CIDR) of a family on the container's interface, or ""."""
    return next((each.address for each in result.addresses_of(ifname) if each.family == family), "")


def _host_link(result: Result, host: Host) -> str:
    """The host's end of the attachment: not a bridge, which outlives it."""
    links = host.links()
    for interface in reversed(result.host_side()):  # a bridge is listed before its port
        link = links.get(interface.name)
        if link is not None and link.kind != "bridge":
            return link.name
    return ""


def _needs_hairpin(host: Host, config: Config, host_link: str) -> bool:
    if not host_link or not config.mappings or not config.snat:
        return False
    links = host.links()
    port = links.get(host_link)
    return port is not None and bool(port.master) and not port.hairpin and filters_bridged(links)


def _occupants(host: Host, attachment: Attachment, config: Config) -> tuple[Occupant, ...]:
    return tuple(
        occupant
        for protocol in PROTOCOLS
        for occupant in _occupants_of(
            host,
            attachment,
            protocol,
            {each.host_port for each in config.mappings if each.protocol == protocol},
        )
    )


def _occupants_of(
    host: Host, attachment: Attachment, protocol: Protocol, ports: Collection[int]
) -> tuple[Occupant, ...]:
    if not ports:
        return ()
    unknown = f"portmap: it is unknown whether a process listens on a published {protocol} port"
    return (
        optional(
            host, unknown, lambda: occupants(host, attachment, host.listening(protocol, frozenset(ports)))
        )
        or ()
    )
