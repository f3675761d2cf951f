"""The configuration as a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from linkspan.cni.addresses import is_unicast, parse_cidr, parse_mac
from linkspan.cni.errors import InvalidConfig, shortened
from linkspan.cni.model import DEFAULT_BRIDGE, NO_DNS, Dns, strings

if TYPE_CHECKING:
    from linkspan.cni.model import Request

DEFAULT_VLAN, _LAST_VLAN = 1, 4094
#: The first and the last VLAN ID.
VlanRange = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A valid configuration of bridge.

    `ipam` is the IPAM plugin's type, "" for layer 2 only; `mtu` in bytes, 0 for the kernel's default.
    """

    bridge: str = DEFAULT_BRIDGE
    is_gateway: bool = False
    is_default_gateway: bool = False
    force_address: bool = False
    ip_masq: bool = False
    ip_masq_backend: str = ""
    mtu: int = 0
    hairpin: bool = False
    promisc: bool = False
    port_isolation: bool = False
    vlan: int = 0
    tagged_vlans: tuple[VlanRange, ...] = ()
    preserve_default_vlan: bool = False
    spoof_check: bool = False
    arp_check: bool = False
    refuse_overlap: bool = False
    nodad: bool = True
    accept_ra: bool = True
    interface_up: bool = True
    internal: bool = False
    isolated: bool = False
    mac: str = ""
    ipam: str = ""
    subnets: tuple[str, ...] = ()
    dns: Dns = NO_DNS

    @classmethod
    def from_request(cls, request: Request) -> Config:
        """The configuration of a call whose document the schema has passed. Raises InvalidConfig."""
        document = request.config
        default_gateway = document.get("isDefaultGateway", False)
        config = cls(
            bridge=bridge_name(request),
            is_gateway=document.get("isGateway", False) or default_gateway,
            is_default_gateway=default_gateway,
            force_address=document.get("forceAddress", False),
            ip_masq=document.get("ipMasq", False),
            ip_masq_backend=document.get("ipMasqBackend") or "",
            mtu=_mtu(document.get("mtu") or 0),
            hairpin=document.get("hairpinMode", False),
            promisc=document.get("promiscMode", False),
            port_isolation=document.get("portIsolation", False),
            vlan=_vlan(document),
            tagged_vlans=_tagged_vlans(document),
            preserve_default_vlan=document.get("preserveDefaultVlan", False),
            spoof_check=document.get("macspoofchk", False),
            arp_check=document.get("arpspoofchk", False),
            refuse_overlap=document.get("refuseOverlap", False),
            nodad=not document.get("enabledad", False),
            accept_ra=document.get("acceptRA", True),
            interface_up=not document.get("disableContainerInterface", False),
            internal=document.get("internal", False),
            isolated=document.get("isolated", False),
            mac=_mac(request.choose("mac", "MAC") or ""),
            ipam=ipam_type(request),
            subnets=subnets_of(request),
            dns=_dns(document.get("dns")),
        )
        config._refuse_contradictions()
        return config

    @property
    def has_vlans(self) -> bool:
        """Whether the port's VLANs are configured."""
        return bool(self.vlan or self.tagged_vlans)

    @property
    def untagged_vlan(self) -> int:
        """The VLAN of the container's untagged frames, 0 for none: a trunk keeps the default VLAN."""
        return self.vlan or (DEFAULT_VLAN if self.tagged_vlans else 0)

    @property
    def gateway_link(self) -> str:
        """The link that has the gateways' addresses: the bridge, or its link in the containers' VLAN."""
        return _in_vlan(self.bridge, self.vlan)

    def forwarding_link(self, *, has_addresses: bool) -> str:
        """The link that packet rules see the containers' packets come from and go to."""
        return self.gateway_link if self.is_gateway and has_addresses else self.bridge

    def _refuse_contradictions(self) -> None:
        if self.arp_check and not self.ipam:
            raise InvalidConfig(
                "$.arpspoofchk: the container's addresses are not known without ipam",
                "remove arpspoofchk, or add ipam",
            )
        if self.arp_check and self.tagged_vlans:
            raise InvalidConfig(
                "$.arpspoofchk: the tagged frames of a VLAN trunk cannot be checked",
                "remove arpspoofchk or vlanTrunk",
            )
        if self.hairpin and self.promisc:
            raise InvalidConfig(
                "$.hairpinMode: cannot set hairpin mode and promiscuous mode at the same time",
                "remove hairpinMode or promiscMode",
            )
        if self.vlan and self.internal and self.is_gateway:
            raise InvalidConfig(
                "$.vlan: an internal network's gateway is the bridge itself, without VLANs",
                "remove vlan, internal or isGateway",
            )
        if not self.interface_up and self.ipam:
            raise InvalidConfig(
                "$.disableContainerInterface: an interface with addresses must be up",
                "remove ipam or disableContainerInterface",
            )
        if self.internal and self.is_default_gateway:
            raise InvalidConfig(
                "$.internal: an internal network has no default route",
                "set isGateway instead of isDefaultGateway, or remove internal",
            )


def bridge_name(request: Request) -> str:
    """The name of the network's bridge. This and `ipam_type` are all that DEL and GC need to know."""
    return request.config.get("bridge") or DEFAULT_BRIDGE


def gateway_link(request: Request) -> str:
    """As Config.gateway_link, whether or not the configuration contradicts itself. Raises InvalidConfig."""
    return _in_vlan(bridge_name(request), _vlan(request.config))


def _in_vlan(bridge: str, vlan: int) -> str:
    return f"{bridge}.{vlan}" if vlan else bridge


def ipam_type(request: Request) -> str:
    """The IPAM plugin's type, or "" if the configuration has none."""
    value = request.config.get("ipam")
    return str(value.get("type") or "") if isinstance(value, Mapping) else ""


def subnets_of(request: Request) -> tuple[str, ...]:
    """The subnets of the network's ranges, as host-local has them in `ipam` and in
    `runtimeConfig.ipRanges`.
    """
    ipam = request.config.get("ipam")
    keys = _lower_keys(ipam)
    listed = (_ranges(keys.get("ranges")), _ranges(request.runtime_config.get("ipRanges")), (keys,))
    texts = (_lower_keys(each).get("subnet") for ranges in listed for each in ranges)
    found = (parse_cidr(each) for each in texts)
    return tuple(
        str(ip_network(f"{ip}/{length}", strict=False))
        for ip, length in filter(None, found)
        if length <= ip.max_prefixlen
    )


def _ranges(value: Any) -> Iterator[Any]:
    """The ranges of a list of range sets; a range outside a list counts as a set."""
    for each in value if isinstance(value, list) else ():
        yield from each if isinstance(each, list) else (each,)


def _lower_keys(value: Any) -> Mapping[str, Any]:
    """An object of another plugin's, with keys in lower case; an empty one for any other value."""
    return {key.lower(): each for key, each in value.items()} if isinstance(value, Mapping) else {}


def _vlan(document: Mapping[str, Any]) -> int:
    """0 also for the default VLAN of a trunk, whose port is an untagged member of it anyway."""
    vlan = _vlan_id("$.vlan", document.get("vlan") or 0)
    return 0 if vlan == DEFAULT_VLAN and document.get("vlanTrunk") else vlan


def _tagged_vlans(document: Mapping[str, Any]) -> tuple[VlanRange, ...]:
    return tuple(_vlan_range(index, each) for index, each in enumerate(document.get("vlanTrunk") or ()))


def _vlan_range(index: int, value: Mapping[str, Any]) -> VlanRange:
    path = f"$.vlanTrunk[{index}]"
    if "id" in value:
        vlan = _vlan_id(f"{path}.id", value["id"])
        return vlan, vlan
    if "minID" not in value or "maxID" not in value:
        raise InvalidConfig(
            f"{path}: minID and maxID should be configured simultaneously", "or give one VLAN as id"
        )
    first, last = _vlan_id(f"{path}.minID", value["minID"]), _vlan_id(f"{path}.maxID", value["maxID"])
    if first > last:
        raise InvalidConfig(f"{path}: minID {first} is greater than maxID {last}", "swap the two")
    return first, last


def _vlan_id(path: str, value: Any) -> int:
    if type(value) is not int:
        raise InvalidConfig(f"{path}: {value!r} is not a valid VLAN ID", f"an integer from 1 to {_LAST_VLAN}")
    return value


def _mtu(value: int) -> int:
    if type(value) is not int or (value and value < 68):
        raise InvalidConfig(f"$.mtu: {value!r} is not a valid MTU", "0, or 68 to 65535 bytes")
    return value


def _mac(value: str) -> str:
    """In the kernel's form, "" for none. It may come from several places, so the message has no JSON path."""
    mac = parse_mac(value)
    if value and (mac is None or not is_unicast(mac)):
        raise InvalidConfig(
            f"mac: {shortened(value)!r} is not a unicast MAC address", "such as 02:42:0a:01:00:02"
        )
    return mac or ""


def _dns(value: Any) -> Dns:
    document = value if isinstance(value, Mapping) else {}
    return Dns(
        nameservers=strings(document.get("nameservers")),
        domain=str(document.get("domain") or ""),
        search=strings(document.get("search")),
        options=strings(document.get("options")),
    )
