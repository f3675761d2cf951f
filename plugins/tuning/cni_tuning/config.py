"""What the configuration asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cni_tuning.attributes import Attributes
from linkspan.cni.addresses import ANY_LINK_LAYER, parse_mac
from linkspan.cni.errors import InvalidConfig, shortened
from linkspan.cni.model import NO_EXTRA
from linkspan.cni.request import RepeatedKeys

if TYPE_CHECKING:
    from linkspan.cni.model import Request

DEFAULT_DATA_DIR = "/run/cni/tuning"


@dataclass(frozen=True, slots=True)
class Sysctl:
    """One sysctl: its name as written, the file below /proc/sys/net, and its value."""

    key: str
    path: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A configuration of tuning, checked."""

    sysctls: tuple[Sysctl, ...]
    attributes: Attributes
    data_dir: str

    @classmethod
    def from_request(cls, request: Request) -> Config:
        """The configuration of a call whose document the schema has passed. Raises InvalidConfig."""
        _refuse_repeated(request.config.get("sysctl"))
        return cls(sysctls=_sysctls(request), attributes=_attributes(request), data_dir=data_dir(request))


def data_dir(request: Request) -> str:
    """Where the backups are; the default for anything that is no path."""
    value = request.config.get("dataDir")
    return value.rstrip("/") if isinstance(value, str) and value.startswith("/") else DEFAULT_DATA_DIR


def sysctl_path(key: str, ifname: str) -> str:
    """The file of a sysctl below /proc/sys/net: `net.ipv4.conf.IFNAME.forwarding` is ipv4/conf/eth0/forwarding.

    The first IFNAME stands for the interface, whose own dots stay. Raises InvalidConfig for what is not below net.
    """
    parts = [part for part in key.replace(".", "/").replace("IFNAME", ifname, 1).split("/") if part]
    if len(parts) < 2 or parts[0] != "net" or not set(parts).isdisjoint({".", ".."}) or "\0" in key:
        raise InvalidConfig(
            f'$.sysctl: invalid net sysctl key: "{key[:60]}"', "only names that begin with net. are set"
        )
    return "/".join(parts[1:])


def _sysctls(request: Request) -> tuple[Sysctl, ...]:
    """Those of the configuration, overridden by those in args.cni; each file once."""
    found: dict[str, Sysctl] = {}
    for source in (request.config, request.cni_args):
        own: dict[str, Sysctl] = {}
        for key, value in (source.get("sysctl") or NO_EXTRA).items():
            path = sysctl_path(key, request.ifname)
            sysctl = Sysctl(key, path, value)
            if own.setdefault(path, sysctl) != sysctl:
                raise _twice(key)
        found.update(own)
    return tuple(found.values())


def _refuse_repeated(sysctls: Any) -> None:
    """Raise InvalidConfig for a name that the configuration's sysctl object has twice: JSON readers drop one silently."""
    if isinstance(sysctls, RepeatedKeys):
        raise _twice(sysctls.repeated[0])


def _twice(key: str) -> InvalidConfig:
    return InvalidConfig(f"$.sysctl: duplicated sysctl keys are not allowed: {key[:60]!r}", "name it once")


def _attributes(request: Request) -> Attributes:
    """The reference's order: args.cni, then the runtime's mac, then CNI_ARGS, then the configuration. False, "" and 0 ask nothing."""
    mac = {"mac": request.runtime_config.get("mac") or request.args.get("MAC") or request.config.get("mac")}
    wanted: Mapping[str, Any] = {**request.config, **mac, **request.cni_args}
    return Attributes(
        mac=_mac(wanted.get("mac") or ""),
        promisc=wanted.get("promisc") or None,
        mtu=wanted.get("mtu") or None,
        allmulti=wanted.get("allmulti"),
        txqlen=wanted.get("txQLen"),
    )


def _mac(value: str) -> str | None:
    """In the kernel's form; None for "", which leaves the address as it is."""
    mac = parse_mac(value, ANY_LINK_LAYER)
    if value and mac is None:
        raise InvalidConfig(
            f"$.mac: {shortened(value, 60)!r} is not a MAC address", "six bytes, such as 02:42:0a:00:00:02"
        )
    return mac
