"""What tuning changes of an interface: a value, and its form in the reference's backup file. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linkspan.host.contract import Link

#: field -> its name in the backup file, in the reference's order
_NAMES = {"mac": "mac", "promisc": "promisc", "mtu": "mtu", "allmulti": "allmulti", "txqlen": "txQLen"}
_TYPES = {"mac": str, "promisc": bool, "mtu": int, "allmulti": bool, "txqlen": int}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """Properties of a link; None is "not this one". `mtu` in bytes, `txqlen` in packets, `mac` in lower case with colons."""

    mac: str | None = None
    promisc: bool | None = None
    mtu: int | None = None
    allmulti: bool | None = None
    txqlen: int | None = None

    def __bool__(self) -> bool:
        return any(True for _ in self.given())

    def given(self) -> Iterator[tuple[str, Any]]:
        """The fields that are set, with their values."""
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None:
                yield each.name, value

    def present_in(self, link: Link) -> Attributes:
        """The link's own values of those that are set here."""
        return Attributes(**{name: getattr(link, name) for name, _ in self.given()})

    def or_else(self, other: Attributes) -> Attributes:
        """These, and the other's where nothing is set here."""
        return Attributes(**{**dict(other.given()), **dict(self.given())})

    def to_backup(self) -> bytes:
        """The content of a backup file, to the byte as the reference writes it."""
        return json.dumps({_NAMES[name]: value for name, value in self.given()}, indent=1).encode()

    @classmethod
    def from_backup(cls, data: bytes | None) -> Attributes:
        """What a backup file holds, ours or the reference's; nothing for one that is absent, torn or foreign."""
        try:
            document = json.loads(data or b"")
            found = {field: document.get(name) for field, name in _NAMES.items()}
        except (ValueError, AttributeError):
            return cls()
        return cls(**{field: value for field, value in found.items() if type(value) is _TYPES[field]})  # type: ignore[arg-type]
