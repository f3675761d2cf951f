"""The configuration as a value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from linkspan.cni.addresses import ANY_LINK_LAYER, parse_mac
from linkspan.cni.errors import InvalidConfig, shortened
from linkspan.cni.json_value import parse_json
from linkspan.cni.model import NO_EXTRA
from linkspan.cni.request import RepeatedKeys

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment, Request

DEFAULT_DATA_DIR = "/run/cni/tuning"
#: Field of Attributes -> its key in the backup file, in the reference's order.
_BACKUP_KEYS = {"mac": "mac", "promisc": "promisc", "mtu": "mtu", "allmulti": "allmulti", "txqlen": "txQLen"}
_TYPES = {"mac": str, "promisc": bool, "mtu": int, "allmulti": bool, "txqlen": int}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """Properties of an interface; None is "not this one".

    `mtu` in bytes, `txqlen` in packets, `mac` in lower case with colons.
    """

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

    def or_else(self, other: Attributes) -> Attributes:
        """These, and the other's where nothing is set here."""
        return Attributes(**{**dict(other.given()), **dict(self.given())})

    def to_backup(self) -> bytes:
        """The content of a backup file, byte for byte as the reference writes it."""
        return json.dumps({_BACKUP_KEYS[name]: value for name, value in self.given()}, indent=1).encode()

    @classmethod
    def from_backup(cls, data: bytes | None) -> Attributes:
        """What a backup file of ours or the reference's has; nothing of one that is absent or invalid."""
        try:
            document = parse_json(data or b"")
            found = {field: document.get(key) for field, key in _BACKUP_KEYS.items()}
        except (ValueError, AttributeError):
            return cls()
        valid: dict[str, Any] = {
            field: value for field, value in found.items() if type(value) is _TYPES[field]
        }
        return cls(**valid)


@dataclass(frozen=True, slots=True)
class Sysctl:
    """One sysctl: its name as written, the file below /proc/sys/net, and its value."""

    key: str
    path: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A valid configuration of tuning. `data_dir` is the directory of the backup files."""

    sysctls: tuple[Sysctl, ...]
    attributes: Attributes
    data_dir: str

    @classmethod
    def from_request(cls, request: Request) -> Config:
        """The configuration of a call whose document the schema has passed. Raises InvalidConfig."""
        _refuse_repeated(request.config.get("sysctl"))
        return cls(sysctls=_sysctls(request), attributes=_attributes(request), data_dir=_data_dir(request))


def backup_path(request: Request, attachment: Attachment) -> str:
    """An attachment's backup file, under the reference's name: either can restore what the other changed.

    Raises nothing, whatever the configuration has: DEL and GC need it too.
    """
    return f"{_data_dir(request)}/{attachment.container_id}_{attachment.ifname}.json"


def sysctl_path(key: str, ifname: str) -> str:
    """The file of a sysctl below /proc/sys/net.

    `net.ipv4.conf.IFNAME.forwarding` is ipv4/conf/eth0/forwarding: the first IFNAME stands for the interface,
    whose own dots stay. Raises InvalidConfig outside net.
    """
    parts = [part for part in key.replace(".", "/").replace("IFNAME", ifname, 1).split("/") if part]
    if len(parts) < 2 or parts[0] != "net" or not set(parts).isdisjoint({".", ".."}) or "\0" in key:
        raise InvalidConfig(
            f'$.sysctl: invalid net sysctl key: "{key[:60]}"', "use names that begin with net."
        )
    return "/".join(parts[1:])


def _data_dir(request: Request) -> str:
    value = request.config.get("dataDir")
    return value.rstrip("/") if isinstance(value, str) and value.startswith("/") else DEFAULT_DATA_DIR


def _sysctls(request: Request) -> tuple[Sysctl, ...]:
    """Those of the configuration, overridden by those in args.cni; each file once."""
    found: dict[str, Sysctl] = {}
    for source in (request.config, request.cni_args):
        own: dict[str, Sysctl] = {}
        for key, value in (source.get("sysctl") or NO_EXTRA).items():
            path = sysctl_path(key, request.ifname)
            sysctl = Sysctl(key, path, value)
            if own.setdefault(path, sysctl) != sysctl:
                raise _repeated(key)
        found.update(own)
    return tuple(found.values())


def _refuse_repeated(sysctls: Any) -> None:
    """Raise InvalidConfig for a repeated name: JSON readers silently drop one of the two."""
    if isinstance(sysctls, RepeatedKeys):
        raise _repeated(sysctls.repeated[0])


def _repeated(key: str) -> InvalidConfig:
    return InvalidConfig(f"$.sysctl: duplicated sysctl keys are not allowed: {key[:60]!r}", "set it once")


def _attributes(request: Request) -> Attributes:
    """The reference's order: args.cni, runtimeConfig.mac, CNI_ARGS, the configuration.

    A promisc of false, a mac of "" and an mtu of 0 change nothing.
    """
    mac = {"mac": request.runtime_config.get("mac") or request.args.get("MAC") or request.config.get("mac")}
    values: Mapping[str, Any] = {**request.config, **mac, **request.cni_args}
    return Attributes(
        mac=_mac(values.get("mac") or ""),
        promisc=values.get("promisc") or None,
        mtu=values.get("mtu") or None,
        allmulti=values.get("allmulti"),
        txqlen=values.get("txQLen"),
    )


def _mac(value: str) -> str | None:
    """In the kernel's form; None for "", which leaves the address as it is."""
    mac = parse_mac(value, ANY_LINK_LAYER)
    if value and mac is None:
        raise InvalidConfig(
            f"$.mac: {shortened(value, 60)!r} is not a MAC address", "six bytes, such as 02:42:0a:00:00:02"
        )
    return mac
