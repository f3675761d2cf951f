"""What is relayed and what is held, and for which attachments. Values only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Any

from linkspan.cni.addresses import Family
from linkspan.cni.model import Attachment
from linkspan.netfilter.relay import RelayedPort

#: What can be held.
PROTOCOLS = ("tcp", "udp", "sctp")

Key = tuple[Family, str, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldPort:
    """A port that nobody else is to listen on. `address` is "" for every address of the host."""

    protocol: str
    address: str
    port: int

    def __str__(self) -> str:
        on = f" on {self.address}" if self.address else ""
        return f"{self.port}/{self.protocol}{on}"

    def to_json(self) -> dict[str, Any]:
        """As JSON, for messages and records."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> HeldPort:
        """What `to_json` made. Raises ValueError, TypeError, KeyError for anything else."""
        held = cls(**document)
        if held.protocol not in PROTOCOLS or type(held.port) is not int or not 1 <= held.port <= 65535:
            raise ValueError(f"{dict(document)} is not a port to hold")
        if held.address:
            ip_address(held.address)
        return held


class RelayTable:
    """Which relayed port leads where. If attachments of a container share one, the last is served."""

    def __init__(self) -> None:
        self._by_key: dict[Key, dict[Attachment, RelayedPort]] = {}
        self._keys: dict[Attachment, tuple[Key, ...]] = {}

    def put(self, attachment: Attachment, ports: Iterable[RelayedPort]) -> None:
        """Replace an attachment's ports."""
        self.remove(attachment)
        new = {each.key: each for each in ports}
        for key, port in new.items():
            self._by_key.setdefault(key, {})[attachment] = port
        if new:
            self._keys[attachment] = tuple(new)

    def remove(self, attachment: Attachment) -> None:
        """Remove an attachment's ports; fine if it has none."""
        for key in self._keys.pop(attachment, ()):
            del self._by_key[key][attachment]
            if not self._by_key[key]:
                del self._by_key[key]

    def find(self, family: Family, protocol: str, address: str, port: int) -> RelayedPort | None:
        """The port that a client means by a loopback address: that of the very address, else that of all."""
        found = self._by_key.get((family, protocol, address, port)) or self._by_key.get(
            (family, protocol, "", port)
        )
        return list(found.values())[-1] if found else None

    def get(self, key: Key) -> RelayedPort | None:
        """The port of a key that is served."""
        return list(self._by_key[key].values())[-1] if key in self._by_key else None

    def keys(self, protocol: str) -> frozenset[Key]:
        """The keys of a protocol."""
        return frozenset(each for each in self._by_key if each[1] == protocol)

    def of(self, attachment: Attachment) -> tuple[RelayedPort, ...]:
        """An attachment's ports."""
        return tuple(self._by_key[key][attachment] for key in self._keys.get(attachment, ()))

    def all(self) -> Iterator[tuple[Attachment, tuple[RelayedPort, ...]]]:
        """Every attachment with its ports."""
        return ((attachment, self.of(attachment)) for attachment in self._keys)

    def __len__(self) -> int:
        return len(self._keys)
