"""Who has which name: entries, the zones they form, and what a client may see of them. Pure.

A change rebuilds only the answers of the names that change, so that it costs the same with ten names and
ten thousand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from typing import Any

from cni_dns.server import wire
from cni_dns.server.names import qualified
from cni_dns.server.wire import AAAA, PTR, A, Answer
from linkspan.cni.model import Attachment

#: (network name, bridge): two network lists may share a name, and then their bridges distinguish them.
ZoneKey = tuple[str, str]
#: Where queries arrive: (device, gateway's address). The device is a bridge, or whatever link leads to the
#: container, "" if that is not known.
ListenKey = tuple[str, str]

_MOST_VIEWS = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The names of one attachment, and all that answering for them needs.

    `names` has the container's own name first; `addresses` are in CIDR form; `listen` are the gateway's
    addresses on which the server answers; `link` is the host-side link that lives as long as the attachment
    ("" if it has none). `device` is the link on which its queries arrive, if that is not the bridge.
    """

    attachment: Attachment
    bridge: str = ""
    link: str = ""
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    listen: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    forward: bool = True
    upstreams: tuple[str, ...] = ()
    ttl: int = 0
    device: str = ""

    @property
    def listeners(self) -> tuple[ListenKey, ...]:
        """Where the container's queries arrive."""
        return tuple((self.device or self.bridge, address) for address in self.listen)

    @property
    def zone(self) -> ZoneKey:
        """The network this attachment is part of."""
        return self.attachment.network, self.bridge

    @property
    def ips(self) -> tuple[str, ...]:
        """The addresses without their prefix length, in the usual text form."""
        return tuple(str(ip_interface(each).ip) for each in self.addresses)

    def record(self) -> dict[str, Any]:
        """The entry as a record: JSON, for the state folder and for the server."""
        return {
            "network": self.attachment.network,
            "containerID": self.attachment.container_id,
            "ifname": self.attachment.ifname,
            "bridge": self.bridge,
            "link": self.link,
            "names": list(self.names),
            "addresses": list(self.addresses),
            "listen": list(self.listen),
            "domains": list(self.domains),
            "forward": self.forward,
            "upstreams": list(self.upstreams),
            "ttl": self.ttl,
            "device": self.device,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Entry:
        """The entry of a record. Raises ValueError if the record is invalid."""
        try:
            return cls(
                attachment=Attachment(record["network"], record["containerID"], record["ifname"]),
                bridge=str(record["bridge"]),
                link=str(record["link"]),
                names=tuple(map(str, record["names"])),
                addresses=tuple(str(ip_interface(each)) for each in record["addresses"]),
                listen=tuple(map(str, record["listen"])),
                domains=tuple(map(str, record["domains"])),
                forward=bool(record["forward"]),
                upstreams=tuple(map(str, record["upstreams"])),
                ttl=int(record["ttl"]),
                device=str(record.get("device") or ""),
            )
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"invalid record: {error!r}") from None


@dataclass(frozen=True, slots=True)
class View:
    """What a client sees: zones in the order of the search, and whether other names are forwarded."""

    zones: tuple[Zone, ...]
    forward: bool
    upstreams: tuple[str, ...]


class Zone:
    """The names of one network as prebuilt answers: question in lower case -> Answer."""

    def __init__(self) -> None:
        self.table: dict[bytes, Answer] = {}
        self.known: dict[bytes, Answer] = {}
        self.by_ip: dict[str, Entry] = {}
        self.suffixes: Counter[bytes] = Counter()
        self.subnets: Counter[Any] = Counter()
        self.forwarding = 0
        self.ttl = 0
        self._owners: dict[bytes, list[Entry]] = {}
        self._suffix_of: dict[bytes, bytes] = {}

    def add(self, entry: Entry) -> None:
        """Answer for an entry's names too."""
        self._count(entry, 1)
        self.ttl = entry.ttl
        for name, suffix in _forms(entry):
            self._suffix_of[name] = suffix
            self._owners.setdefault(name, []).append(entry)
            self._rebuild(name)
        for ip in entry.ips:
            self.by_ip[ip] = entry
            self._add_pointer(ip, entry)

    def discard(self, entry: Entry) -> None:
        """Answer no longer for an entry's names."""
        self._count(entry, -1)
        for name, _ in _forms(entry):
            owners = self._owners[name]
            owners.remove(entry)
            self._rebuild(name)
        for ip in entry.ips:
            if self.by_ip.get(ip) == entry:
                del self.by_ip[ip]
                self._forget(wire.reverse_name(ip))

    def _count(self, entry: Entry, one: int) -> None:
        for domain in entry.domains:
            self.suffixes[wire.wire_name(domain)] += one
        for address in entry.addresses:
            self.subnets[ip_interface(address).network] += one
        self.forwarding += one * entry.forward
        self.suffixes, self.subnets = +self.suffixes, +self.subnets

    def _rebuild(self, name: bytes) -> None:
        owners = self._owners[name]
        if not owners:
            del self._owners[name], self._suffix_of[name]
            self._forget(name)
            return
        ttl = min(each.ttl for each in owners)
        no_data = wire.no_data(name, self._suffix_of[name], ttl)
        self.known[name] = no_data
        ips = [ip_address(ip) for ip in dict.fromkeys(ip for each in owners for ip in each.ips)]
        for kind, version in ((A, 4), (AAAA, 6)):
            packed = [ip.packed for ip in ips if ip.version == version]
            self.table[wire.question(name, kind)] = wire.addresses(kind, packed, ttl) if packed else no_data

    def _add_pointer(self, ip: str, entry: Entry) -> None:
        name = wire.reverse_name(ip)
        if not entry.names:
            return
        target = qualified(entry.names[0], entry.domains[:1])[-1]
        self.known[name] = wire.no_data(name, name, entry.ttl)
        self.table[wire.question(name, PTR)] = wire.pointer(target, entry.ttl)

    def _forget(self, name: bytes) -> None:
        self.known.pop(name, None)
        for kind in (A, AAAA, PTR):
            self.table.pop(wire.question(name, kind), None)

    def suffix_of(self, name: bytes) -> bytes | None:
        """The domain of ours that a lower-case wire name is below, or is; None if there is none."""
        at = 0
        while at < len(name) - 1:
            if name[at:] in self.suffixes:
                return name[at:]
            at += 1 + name[at]
        ip = wire.address_of_reverse(name)
        if ip is not None and any(ip in subnet for subnet in self.subnets):
            return name[1 + name[0] :]
        return None

    def is_local(self, source: str) -> bool:
        """Whether an address is in one of the network's subnets, or link-local and so on its bridge."""
        ip = ip_address(source)
        return ip.is_link_local or any(ip in subnet for subnet in self.subnets)

    @property
    def empty(self) -> bool:
        """Whether no entry is left."""
        return not self._owners and not self.by_ip


def _forms(entry: Entry) -> Iterator[tuple[bytes, bytes]]:
    """(wire name, the wire name of the domain it belongs to) of all forms of an entry's names, each once."""
    seen = set()
    for name in entry.names:
        for form in qualified(name, entry.domains):
            if form in seen:
                continue
            seen.add(form)
            owner = wire.wire_name(form)
            domain = next((each for each in entry.domains if form == f"{name}.{each}"), form)
            yield owner, wire.wire_name(domain)


class Registry:
    """All entries of a host, and the views that clients have of them."""

    def __init__(self) -> None:
        self.entries: dict[Attachment, Entry] = {}
        self.zones: dict[ZoneKey, Zone] = {}
        self._of_container: dict[str, list[Entry]] = {}
        self._of_listener: dict[ListenKey, Counter[ZoneKey]] = {}
        self._views: dict[tuple[ListenKey, str], View | None] = {}

    def put(self, entry: Entry) -> tuple[Entry, ...]:
        """Add or replace an entry.

        Returns the entries that had one of its addresses before; they lose their names.
        """
        self.remove(entry.attachment)
        zone = self.zones.setdefault(entry.zone, Zone())
        evicted = {each.attachment: each for ip in entry.ips if (each := zone.by_ip.get(ip)) is not None}
        for attachment in evicted:
            self.remove(attachment)
        self.zones.setdefault(entry.zone, zone).add(entry)
        self.entries[entry.attachment] = entry
        mine = self._of_container.setdefault(entry.attachment.container_id, [])
        mine.append(entry)
        mine.sort(key=lambda each: (each.attachment.ifname, each.attachment.network))
        for key in entry.listeners:
            self._of_listener.setdefault(key, Counter())[entry.zone] += 1
        self._views.clear()
        return tuple(evicted.values())

    def remove(self, attachment: Attachment) -> Entry | None:
        """Take an entry away and return it; None if there was none."""
        entry = self.entries.pop(attachment, None)
        if entry is None:
            return None
        zone = self.zones[entry.zone]
        zone.discard(entry)
        if zone.empty:
            del self.zones[entry.zone]
        mine = self._of_container[attachment.container_id]
        mine.remove(entry)
        if not mine:
            del self._of_container[attachment.container_id]
        for key in entry.listeners:
            self._release_listener(key, entry.zone)
        self._views.clear()
        return entry

    def _release_listener(self, key: ListenKey, zone: ZoneKey) -> None:
        counted = self._of_listener[key]
        counted[zone] -= 1
        if not +counted:
            del self._of_listener[key]

    @property
    def listeners(self) -> frozenset[ListenKey]:
        """Where containers' queries must be listened for."""
        return frozenset(self._of_listener)

    def view(self, listener: ListenKey, source: str) -> View | None:
        """What a client at `source` sees whose query came in at a listener.

        None if it is not on the listener's network. Which network that is depends on where the query came
        in: a source address can be anybody's.
        """
        key = (listener, source)
        if key not in self._views:
            if len(self._views) >= _MOST_VIEWS:
                self._views.clear()
            self._views[key] = self._make_view(listener, source)
        return self._views[key]

    def _make_view(self, listener: ListenKey, source: str) -> View | None:
        _, address = listener
        keys = [key for key, count in self._of_listener.get(listener, Counter()).items() if count > 0]
        here = [self.zones[key] for key in keys]
        client = next((zone.by_ip[source] for zone in here if source in zone.by_ip), None)
        # The host itself asks from the gateway's own address, which need not be in a subnet of containers
        # (a /32).
        if client is None and source != address and not any(zone.is_local(source) for zone in here):
            client = self._elsewhere(source, keys)
            if client is None:
                return None
        if client is None:
            return View(tuple(here), any(zone.forwarding for zone in here), self._upstreams(keys))
        return self._view_of(client)

    def _view_of(self, client: Entry) -> View:
        """The zones of all networks of the client's container, and the upstreams of those that forward."""
        attachments = self._of_container[client.attachment.container_id]
        zones = [client.zone, *(each.zone for each in attachments)]
        forwarding = [each for each in attachments if each.forward]
        upstreams = tuple(dict.fromkeys(ip for each in forwarding for ip in each.upstreams))
        return View(tuple(self.zones[key] for key in dict.fromkeys(zones)), bool(forwarding), upstreams[:3])

    def _upstreams(self, keys: list[ZoneKey]) -> tuple[str, ...]:
        found = (ip for each in self.entries.values() if each.zone in keys for ip in each.upstreams)
        return tuple(dict.fromkeys(found))[:3]

    def _elsewhere(self, source: str, here: list[ZoneKey]) -> Entry | None:
        """The entry of a container that is on one of these networks, and asks with an address of another."""
        owners = [zone.by_ip[source] for zone in self.zones.values() if source in zone.by_ip]
        if len(owners) != 1:
            return None
        attachments = self._of_container[owners[0].attachment.container_id]
        return owners[0] if any(each.zone in here for each in attachments) else None
