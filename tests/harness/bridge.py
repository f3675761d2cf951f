"""Configurations of bridge, and what its tests read back from a host in memory."""

from __future__ import annotations

from typing import Any

from linkspan.cni.model import Attachment
from linkspan.host.memory.links import MemoryLinks
from tests.harness.memory import BOX, Desk

IPAM = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.5.0.0/24"}], [{"subnet": "fd00:5::/64"}]],
}
PLAIN: dict[str, Any] = {"type": "bridge", "bridge": "br0", "isDefaultGateway": True, "ipam": IPAM}
TAGGED: dict[str, Any] = {
    "type": "bridge",
    "bridge": "br0",
    "isGateway": True,
    "vlan": 100,
    "ipam": {"type": "host-local", "subnet": "10.5.0.0/24"},
}
GUARDED: dict[str, Any] = {"type": "bridge", "bridge": "br0", "macspoofchk": True}
BACKENDS = ("iptables", "nftables")
ONE = Attachment("net", "c1", "eth0")
VETH = ONE.host_veth


def masquerading(backend: str) -> dict[str, Any]:
    """PLAIN with masquerading by a backend."""
    return {**PLAIN, "ipMasq": True, "ipMasqBackend": backend}


def links(desk: Desk) -> MemoryLinks:
    """The links of the host."""
    return desk.host.namespace("/proc/self/ns/net")


def routes(desk: Desk, family: int = 4) -> list[tuple[str, str, int]]:
    """The container's routes: destination, gateway, metric."""
    found = desk.host.namespace(BOX).routes(6 if family == 6 else 4)
    return [(each.dst, each.gw, each.priority) for each in found]


def own_objects(desk: Desk) -> list[str]:
    """What the attachment ONE has on the host: links, elements, chains, records, leases."""
    words = (VETH, "link eth0", "c1", "/10.5.0.2 ", "masquerade4 ", "CNI-")
    return sorted(line for line in desk.host.state() if any(word in line for word in words))
