"""What the configuration asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from linkspan.errors import InvalidConfig, UnsupportedField
from linkspan.model import NO_DNS, Dns, strings

if TYPE_CHECKING:
    from linkspan.model import Request

_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
#: Keys that are legal and that we cannot carry out: anything but these values is refused, never ignored.
_REFUSED: Mapping[str, tuple[Any, ...]] = {
    "vlan": (None, 0),
    "vlanTrunk": (None, []),
    "macspoofchk": (None, False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A configuration of bridge, checked. `ipam` is the IPAM plugin's type, "" for layer 2 only; `mtu` in bytes, 0 for the kernel's."""

    bridge: str = "cni0"
    is_gateway: bool = False
    is_default_gateway: bool = False
    force_address: bool = False
    ip_masq: bool = False
    ip_masq_backend: str = ""
    mtu: int = 0
    hairpin: bool = False
    promisc: bool = False
    port_isolation: bool = False
    nodad: bool = True
    interface_up: bool = True
    internal: bool = False
    mac: str = ""
    ipam: str = ""
    dns: Dns = NO_DNS

    @classmethod
    def from_request(cls, request: Request) -> Config:
        """The configuration of a call whose document the schema has passed. Raises InvalidConfig, UnsupportedField."""
        document = request.config
        _refuse_unsupported(document)
        default_gateway = document.get("isDefaultGateway", False)
        config = cls(
            bridge=document.get("bridge") or "cni0",
            is_gateway=document.get("isGateway", False) or default_gateway,
            is_default_gateway=default_gateway,
            force_address=document.get("forceAddress", False),
            ip_masq=document.get("ipMasq", False),
            ip_masq_backend=document.get("ipMasqBackend") or "",
            mtu=_mtu(document.get("mtu") or 0),
            hairpin=document.get("hairpinMode", False),
            promisc=document.get("promiscMode", False),
            port_isolation=document.get("portIsolation", False),
            nodad=not document.get("enabledad", False),
            interface_up=not document.get("disableContainerInterface", False),
            internal=document.get("internal", False),
            mac=_mac(request.choose("mac", "MAC") or ""),
            ipam=ipam_type(request),
            dns=_dns(document.get("dns")),
        )
        config._refuse_contradictions()
        return config

    def _refuse_contradictions(self) -> None:
        if self.hairpin and self.promisc:
            raise InvalidConfig(
                "$.hairpinMode: cannot set hairpin mode and promiscuous mode at the same time",
                "leave out hairpinMode or promiscMode",
            )
        if not self.interface_up and self.ipam:
            raise InvalidConfig(
                "$.disableContainerInterface: an interface with addresses must be up",
                "leave out ipam or disableContainerInterface",
            )
        if self.internal and self.is_default_gateway:
            raise InvalidConfig(
                "$.internal: an internal network has no default route",
                "set isGateway instead of isDefaultGateway, or leave internal out",
            )


def ipam_type(request: Request) -> str:
    """The IPAM plugin's type, or "" where the configuration has none."""
    value = request.config.get("ipam")
    return str(value.get("type") or "") if isinstance(value, Mapping) else ""


def _refuse_unsupported(document: Mapping[str, Any]) -> None:
    for key, harmless in _REFUSED.items():
        if document.get(key) not in harmless:
            raise UnsupportedField(
                f"$.{key}: {str(document[key])[:40]!r} cannot be carried out by this version",
                f"leave {key} out",
            )


def _mtu(value: int) -> int:
    if type(value) is not int or (value and value < 68):
        raise InvalidConfig(f"$.mtu: {value!r} is no size of a packet", "0, or 68 to 65535 bytes")
    return value


def _mac(value: str) -> str:
    text = str(value).lower().replace("-", ":")
    if text and (not _MAC.fullmatch(text) or int(text[:2], 16) & 1 or text == "00:00:00:00:00:00"):
        raise InvalidConfig(
            f"mac: {str(value)[:40]!r} is no unicast MAC address", "such as 02:42:0a:01:00:02"
        )
    return text


def _dns(value: Any) -> Dns:
    document = value if isinstance(value, Mapping) else {}
    return Dns(
        nameservers=strings(document.get("nameservers")),
        domain=str(document.get("domain") or ""),
        search=strings(document.get("search")),
        options=strings(document.get("options")),
    )
