"""The configuration: which ports are published, and how."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from linkspan.cni.addresses import FAMILIES, Family, checked_ip, family_of
from linkspan.cni.errors import InvalidConfig, UnsupportedField
from linkspan.cni.model import strings

if TYPE_CHECKING:
    from linkspan.cni.model import Request

Protocol = Literal["tcp", "udp", "sctp"]
#: How connections to 127.0.0.1 and ::1 reach a container: routed by the kernel, or relayed by a process.
Localhost = Literal["", "relay"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
DEFAULT_MARK_BIT = 13
#: Protocol, port and address of the host, "" for every address.
HostPort = tuple[str, int, str]
Mappings = Sequence[Mapping[str, Any]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMapping:
    """One element of `portMappings`. `host_ip` is "" for every address of both families.

    Raises ValueError for a port or an address that is not one, as a damaged record may have.
    """

    host_port: int
    container_port: int
    protocol: Protocol
    host_ip: str = ""

    def __post_init__(self) -> None:
        if not all(1 <= port <= 65535 for port in (self.host_port, self.container_port)):
            raise ValueError(f"{self.host_port} or {self.container_port} is not a port")
        if self.host_ip:
            ipaddress.ip_address(self.host_ip)

    @property
    def host_key(self) -> HostPort:
        """What it is published on."""
        return self.protocol, self.host_port, self.host_ip

    @property
    def on_loopback(self) -> bool:
        """Whether only the host itself may use it."""
        return bool(self.host_ip) and ipaddress.ip_address(self.host_ip).is_loopback

    @property
    def families(self) -> tuple[Family, ...]:
        """The families whose host addresses it is published on."""
        return (family_of(self.host_ip),) if self.host_ip else FAMILIES

    @property
    def one_address(self) -> str:
        """The only host address it is published on, or "" for all addresses of its families."""
        return "" if self.host_ip in ("", "0.0.0.0", "::") else self.host_ip  # noqa: S104  not bound to

    @classmethod
    def from_json(cls, document: Mapping[str, Any], path: str, localhost: Localhost = "") -> PortMapping:
        """One mapping as the runtime wrote it.

        Raises InvalidConfig, and UnsupportedField for ::1 unless it is relayed.
        """
        return cls(
            host_port=_port(document, "hostPort", path),
            container_port=_port(document, "containerPort", path),
            protocol=_protocol(document, path),
            host_ip=_host_ip(document, path, localhost),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A configuration of portmap, checked. `backend` is "" when the choice is ours."""

    mappings: tuple[PortMapping, ...]
    backend: str = ""
    snat: bool = True
    masq_all: bool = False
    mark_bit: int = DEFAULT_MARK_BIT
    external_set_mark_chain: str = ""
    conditions_v4: tuple[str, ...] = ()
    conditions_v6: tuple[str, ...] = ()
    drop_direct_access: bool = False
    localhost: Localhost = ""
    refuse_taken_ports: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do: no port, and no direct access to drop."""
        return not self.mappings and not self.drop_direct_access

    @classmethod
    def from_request(cls, request: Request) -> Config:
        """The configuration of a call whose document the schema has passed.

        Raises InvalidConfig, UnsupportedField.
        """
        document = request.config
        localhost = _localhost(document)
        config = cls(
            mappings=_mappings(request.runtime_config.get("portMappings"), localhost),
            backend=document.get("backend") or "",
            snat=document.get("snat", True),
            masq_all=document.get("masqAll", False),
            mark_bit=_mark_bit(document),
            external_set_mark_chain=document.get("externalSetMarkChain") or "",
            conditions_v4=strings(document.get("conditionsV4")),
            conditions_v6=strings(document.get("conditionsV6")),
            drop_direct_access=document.get("dropDirectAccess", False),
            localhost=localhost,
            refuse_taken_ports=document.get("refuseTakenPorts", False),
        )
        for name, words in config._all_conditions():
            _check_words(name, words)
        return config

    def conditions(self, family: Family) -> tuple[str, ...]:
        """The words that packets of a family must also match."""
        return self.conditions_v6 if family == 6 else self.conditions_v4

    def check_backend(self, backend: str) -> None:
        """Raise InvalidConfig for conditions, or a chain, that this backend does not support."""
        for name, words in self._all_conditions():
            if words and (words[0][:1] in ("-", "!")) != (backend == "iptables"):
                raise InvalidConfig(
                    f"$.{name}: {words[0]!r} is not valid for the {backend} backend",
                    "write the conditions for the backend in use, or set $.backend to the other one",
                )
        if self.external_set_mark_chain and backend == "nftables":
            raise InvalidConfig(
                "$.externalSetMarkChain: the nftables backend has no such chain",
                'set $.backend to "iptables"',
            )

    def _all_conditions(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        yield "conditionsV4", self.conditions_v4
        yield "conditionsV6", self.conditions_v6


def _localhost(document: Mapping[str, Any]) -> Localhost:
    value = document.get("localhost") or ""
    if value not in get_args(Localhost):
        raise InvalidConfig(f"$.localhost: {value[:40]!r} is unknown", 'use "relay", or remove the key')
    conditions = [each for each in ("conditionsV4", "conditionsV6") if document.get(each)]
    if value and conditions:
        raise InvalidConfig(
            f'$.localhost: "relay" excludes {conditions[0]}: what is relayed is matched by its port alone',
            "remove one of the two",
        )
    return "relay" if value else ""


def _mappings(value: Mappings, localhost: Localhost) -> tuple[PortMapping, ...]:
    """Each host port once: of several entries for one the first counts, as with the reference's rules."""
    mappings: dict[HostPort, PortMapping] = {}
    for _, mapping in _each(value, localhost):
        mappings.setdefault(mapping.host_key, mapping)
    return tuple(mappings.values())


def shadowed(request: Request, config: Config) -> Iterator[str]:
    """The entries of `portMappings` that lead elsewhere than an earlier one of the same host port, as
    sentences.
    """
    served = {each.host_key: each for each in config.mappings}
    for path, mapping in _each(request.runtime_config.get("portMappings"), config.localhost):
        first = served[mapping.host_key]
        if first != mapping:
            port = f"{mapping.host_port}/{mapping.protocol}"
            yield f"{path} is ignored: {port} leads to port {first.container_port} of the container already"


def _each(value: Mappings, localhost: Localhost) -> Iterator[tuple[str, PortMapping]]:
    for index, document in enumerate(value or ()):
        path = f"$.runtimeConfig.portMappings[{index}]"
        yield path, PortMapping.from_json(document, path, localhost)


def _port(document: Mapping[str, Any], name: str, path: str) -> int:
    value = document.get(name)
    if type(value) is not int or not 1 <= value <= 65535:
        raise InvalidConfig(f"{path}.{name}: {value!r} is not a port", "an integer from 1 to 65535")
    return value


def _protocol(document: Mapping[str, Any], path: str) -> Protocol:
    value = str(document.get("protocol") or "tcp")
    found = next((each for each in PROTOCOLS if each == value.lower()), None)
    if found is None:
        raise InvalidConfig(f"{path}.protocol: {value[:40]!r} is unknown", f"one of {', '.join(PROTOCOLS)}")
    return found


def _host_ip(document: Mapping[str, Any], path: str, localhost: Localhost) -> str:
    value = document.get("hostIP") or ""
    if not value:
        return ""
    address = checked_ip(f"{path}.hostIP", value, "an IPv4 or IPv6 address of the host")
    if address.version == 6 and address.is_loopback and not localhost:
        raise UnsupportedField(
            f"{path}.hostIP: {value} cannot be published on",
            'set $.localhost to "relay", or publish on 127.0.0.1: the kernel cannot translate to ::1',
        )
    return str(address)


def _mark_bit(document: Mapping[str, Any]) -> int:
    value = document.get("markMasqBit")
    if value is None:
        return DEFAULT_MARK_BIT
    if document.get("externalSetMarkChain"):
        raise InvalidConfig("Cannot specify externalSetMarkChain and markMasqBit", "remove one of the two")
    if type(value) is not int or not 0 <= value <= 31:
        raise InvalidConfig(
            f"$.markMasqBit: MasqMarkBit must be between 0 and 31, not {value!r}", "13 is the default"
        )
    return value


def _check_words(name: str, words: Sequence[str]) -> None:
    for word in words:
        if any(character in word for character in "\n\r\0;#"):
            raise InvalidConfig(
                f"$.{name}: {word[:60]!r} is not a single word", "one list item for each word"
            )
