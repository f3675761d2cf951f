"""A network as Docker describes one, whatever wrote its list: driver, subnets, options, labels. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from linkspan.runtime import names
from linkspan.runtime.lists import (
    DEFAULT_LABEL,
    DEFAULT_NAME,
    ID,
    LABELS,
    OURS,
    PODMAN_LABELS,
    PODMAN_OPTIONS,
    Creator,
    NetworkList,
    as_list,
    as_mapping,
    strings_of,
)

#: Docker's options for which a list has a key (moby, daemon/libnetwork/drivers/bridge/labels.go).
NAME_OPTION = "com.docker.network.bridge.name"
ICC_OPTION = "com.docker.network.bridge.enable_icc"
MASQUERADE_OPTION = "com.docker.network.bridge.enable_ip_masquerade"
HOST_BINDING_OPTION = "com.docker.network.bridge.host_binding_ipv4"
MTU_OPTION = "com.docker.network.driver.mtu"
#: The value of HOST_BINDING_OPTION that binds ports to no address in particular.
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104
DNS_PLUGINS = ("dns", "dnsname")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    """A subnet in CIDR notation. "" stands for what is not set; `auxiliary` is name -> address."""

    subnet: str
    gateway: str = ""
    ip_range: str = ""
    auxiliary: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ipv6(self) -> bool:
        """Whether it is an IPv6 subnet."""
        return ":" in self.subnet


@dataclass(frozen=True)
class Network:
    """A network. What follows from its list is computed when asked for: `ls` needs little of it."""

    list: NetworkList

    @property
    def name(self) -> str:
        """The name that containers are attached by."""
        return self.list.name

    @property
    def namespace(self) -> str:
        """The containerd namespace whose nerdctl sees it; "" for a list that every runtime sees."""
        return self.list.namespace

    @property
    def creator(self) -> Creator:
        """Which program wrote the list."""
        return self.list.creator

    @cached_property
    def id(self) -> str:
        """64 hex digits: nerdctl's, or the same function of the name, as podman has it."""
        given = self.list.document.get(ID) or names.PREDEFINED_IDS.get(self.name)
        return given if isinstance(given, str) and len(given) >= 12 else names.network_id(self.name)

    @property
    def is_builtin(self) -> bool:
        """Whether it is `host` or `none`, or one that nerdctl or podman would create again."""
        if self.name in (names.HOST, names.NONE):
            return True
        return (self.name == DEFAULT_NAME and DEFAULT_LABEL in self.labels) or self.name == "podman"

    @property
    def driver(self) -> str:
        """Docker's word: "bridge", "host", "null", or the type of the plugin that creates the interface."""
        return {names.HOST: "host", names.NONE: "null"}.get(self.name) or str(self.list.first.get("type", ""))

    @property
    def scope(self) -> str:
        """Docker's word for a network of this host."""
        return "local"

    @property
    def bridge(self) -> str:
        """The bridge's name, or "" if the network has none."""
        if self.driver != "bridge":
            return ""
        from linkspan.cni.model import DEFAULT_BRIDGE

        return str(self.list.first.get("bridge") or DEFAULT_BRIDGE)

    @cached_property
    def labels(self) -> Mapping[str, str]:
        """The labels, from wherever their writer keeps them."""
        podmans = as_mapping(self.list.document.get("args")).get(PODMAN_LABELS)
        return {**strings_of(podmans), **strings_of(self.list.document.get(LABELS))}

    @cached_property
    def created(self) -> int:
        """When it was created, in ns since 1970: as its writer noted, else when its file last changed."""
        noted = self._ours.get("created")
        return noted if isinstance(noted, int) else self.list.changed

    @cached_property
    def options(self) -> Mapping[str, str]:
        """Docker's driver options: those given at creation, else those that the list amounts to."""
        given = self._ours.get("options")
        if isinstance(given, Mapping):
            return strings_of(given)
        podmans = as_mapping(self.list.document.get("args")).get(PODMAN_OPTIONS)
        return {**strings_of(podmans), **self._implied()}

    def _implied(self) -> dict[str, str]:
        first = self.list.first
        found = {}
        if isinstance(first.get("mtu"), int) and first["mtu"]:
            found[MTU_OPTION] = str(first["mtu"])
        if self.driver == "bridge":
            if self.bridge != names.default_bridge(self.name):
                found[NAME_OPTION] = self.bridge
            policy = self.list.plugin("firewall").get("ingressPolicy")
            if first.get("portIsolation") is True or policy == "isolated":
                found[ICC_OPTION] = "false"
        return found

    @property
    def internal(self) -> bool:
        """Whether nothing outside is reachable: by our key or, as with nerdctl and podman, without
        gateway.
        """
        first = self.list.first
        if self.driver != "bridge":
            return False
        gateway = first.get("isGateway") is True or first.get("isDefaultGateway") is True
        return first.get("internal") is True or (bool(self.ipam) and not gateway)

    @property
    def dns(self) -> bool:
        """Whether containers resolve each other's names."""
        return bool(self.list.plugin(*DNS_PLUGINS))

    @property
    def mtu(self) -> int:
        """The MTU in bytes, 0 for the kernel's default."""
        value = self.list.first.get("mtu")
        return value if isinstance(value, int) else 0

    @property
    def ipam(self) -> Mapping[str, Any]:
        """The IPAM configuration, empty on a layer-2 network."""
        ipam = as_mapping(self.list.first.get("ipam"))
        return ipam if ipam.get("type") else {}

    @property
    def ipam_driver(self) -> str:
        """Docker's word: "default" for host-local, else the type of the IPAM plugin."""
        kind = str(self.ipam.get("type", ""))
        return "default" if kind in ("", "host-local") else kind

    @cached_property
    def subnets(self) -> tuple[Subnet, ...]:
        """The subnets in the list's order. Ranges of one subnet count once."""
        if self.ipam.get("type") != "host-local":
            return ()
        found: dict[str, Subnet] = {}
        for each in self._ranges():
            if isinstance(each.get("subnet"), str):
                found.setdefault(each["subnet"], self._subnet(each))
        return tuple(found.values())

    @property
    def static_addresses(self) -> tuple[str, ...]:
        """The addresses of the IPAM plugin static, in CIDR notation."""
        addresses = map(as_mapping, as_list(self.ipam.get("addresses")))
        return tuple(each["address"] for each in addresses if isinstance(each.get("address"), str))

    def _ranges(self) -> Iterator[Mapping[str, Any]]:
        """Every range of host-local, that of the short form first (SPEC 0.2.0)."""
        yield self.ipam
        for one in as_list(self.ipam.get("ranges")):
            yield from (each for each in as_list(one) if isinstance(each, Mapping))

    def _subnet(self, given: Mapping[str, Any]) -> Subnet:
        auxiliary = as_mapping(self._ours.get("auxiliary")).get(given["subnet"])
        return Subnet(
            subnet=given["subnet"],
            gateway=str(given.get("gateway") or first_address(given["subnet"])),
            ip_range=str(given.get("ipRange", "")),
            auxiliary=strings_of(auxiliary),
        )

    @property
    def ipv6(self) -> bool:
        """Whether containers get an IPv6 address."""
        return any(each.is_ipv6 for each in self.subnets)

    @property
    def ipv4(self) -> bool:
        """Whether containers get an IPv4 address; Docker counts networks without addresses among them."""
        return not self.subnets or any(not each.is_ipv6 for each in self.subnets)

    @property
    def _ours(self) -> Mapping[str, Any]:
        return as_mapping(self.list.document.get(OURS))


def without_list(name: str) -> Network:
    """`host` or `none`."""
    return Network(NetworkList(name=name, document={}))


def first_address(subnet: str) -> str:
    """The first address of a subnet, which is the gateway's unless it is chosen; "" for an invalid subnet."""
    from ipaddress import ip_network

    try:
        network = ip_network(subnet, strict=False)
    except ValueError:
        return ""
    return str(network.network_address + 1)
