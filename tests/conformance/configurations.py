"""The configurations and results that cases start from, as plain documents."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

JsonObject = dict[str, Any]

LATEST = "1.1.0"
VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")

NETWORK = "net1"
BRIDGE = "cnt0"
SUBNET, GATEWAY = "10.77.0.0/24", "10.77.0.1"
SUBNET6, GATEWAY6 = "fd77::/64", "fd77::1"

#: The link a case makes itself, for plugins that work behind another one: see World.plumb.
PLUMBED_BRIDGE = "plumb0"
PLUMBED_GATEWAY = "10.99.0.1"


def at_least(version: str, wanted: str) -> bool:
    """Whether `version` is `wanted` or a later one."""
    return VERSIONS.index(version) >= VERSIONS.index(wanted)


def plumbed_address(netns: str, ifname: str = "eth0") -> str:
    """The IPv4 address that World.plumb gives a container's interface: another for each (netns, ifname)."""
    return f"10.99.{int(ifname[3:] or 0) if ifname[:3] == 'eth' and ifname[3:].isdigit() else 9}.{10 + _index(netns)}"


def plumbed_mac(netns: str, ifname: str = "eth0") -> str:
    """The MAC address that goes with it."""
    return "02:aa:" + ":".join(f"{int(part):02x}" for part in plumbed_address(netns, ifname).split("."))


def plumbed_port(netns: str, ifname: str = "eth0") -> str:
    """The name of the host's end of the link."""
    return f"port-{netns}-{ifname}"[:15]


def _index(netns: str) -> int:
    return sum(netns.encode()) % 200


def plumbed_result(netns: str, ifname: str = "eth0", version: str = LATEST) -> JsonObject:
    """What a bridge plugin would have answered about that interface."""
    interfaces: list[JsonObject] = [
        {"name": PLUMBED_BRIDGE, "mac": "02:aa:00:00:00:01"},
        {"name": plumbed_port(netns, ifname), "mac": "02:aa:00:00:00:02"},
        {"name": ifname, "mac": plumbed_mac(netns, ifname), "sandbox": f"/run/netns/{netns}"},
    ]
    return in_version(
        {
            "cniVersion": LATEST,
            "interfaces": interfaces,
            "ips": [
                {
                    "address": f"{plumbed_address(netns, ifname)}/16",
                    "gateway": PLUMBED_GATEWAY,
                    "interface": 2,
                }
            ],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
        version,
    )


def in_version(result: JsonObject, version: str) -> JsonObject:
    """A result of 1.x in the shape of another version."""
    if at_least(version, "1.0.0"):
        return {**result, "cniVersion": version}
    if at_least(version, "0.3.0"):
        ips = [{**ip, "version": str(family_of(ip["address"]))} for ip in result["ips"]]
        return {**result, "cniVersion": version, "ips": ips, "dns": result.get("dns", {})}
    old: JsonObject = {"cniVersion": version, "dns": result.get("dns", {})}
    for ip in result["ips"]:
        family = family_of(ip["address"])
        routes = [route for route in result["routes"] if family_of(route["dst"]) == family]
        old[f"ip{family}"] = {"ip": ip["address"], "gateway": ip["gateway"], "routes": routes}
    return old


def family_of(address: str) -> int:
    """4 or 6, of an address with or without a prefix."""
    return ipaddress.ip_interface(address).version


def ipam(kind: str, *subnets: str, routes: Iterable[str] = ("0.0.0.0/0",)) -> JsonObject:
    """The `ipam` object of a network with one range set for each subnet."""
    return {
        "type": kind,
        "ranges": [[{"subnet": subnet}] for subnet in subnets or (SUBNET,)],
        "routes": [{"dst": route} for route in routes],
    }


def mapping(
    host_port: int = 8080, container_port: int = 80, protocol: str = "tcp", **more: Any
) -> JsonObject:
    """One element of the capability portMappings."""
    return {"hostPort": host_port, "containerPort": container_port, "protocol": protocol, **more}


def with_valid(document: JsonObject, *living: tuple[str, str]) -> JsonObject:
    """A configuration as GC gets it, with the attachments (container id, ifname) that are still valid."""
    listed = [{"containerID": cid, "ifname": ifname} for cid, ifname in living]
    return {**document, "cni.dev/valid-attachments": listed, "cni.dev/attachments": listed}


def working(role: str, kinds: dict[str, str]) -> JsonObject:
    """What a role is configured with so that it has something to do; `kinds` is role -> type."""
    if role == "bridge":
        wanted = {"bridge": BRIDGE, "isGateway": True, "ipMasq": True}
        return wanted | ({"ipam": ipam(kinds["ipam"])} if "ipam" in kinds else {})
    if role == "ipam":
        return {"ipam": ipam(kinds["ipam"])}
    if role == "portmap":
        return {"capabilities": {"portMappings": True}, "runtimeConfig": {"portMappings": [mapping()]}}
    if role == "tuning":
        return {"sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}, "mtu": 1400}
    if role == "dns":
        return {
            "domainName": "cases.example",
            "capabilities": {"aliases": True},
            "runtimeConfig": {"aliases": ["web"]},
        }
    return {}
