"""Configurations and publications of portmap, and a desk whose container gets ports."""

from __future__ import annotations

from typing import Any

from cni_portmap.config import Config, PortMapping
from cni_portmap.facts import Publication
from linkspan.cni.model import Attachment
from linkspan.host.memory import MemoryHost
from tests.harness.memory import Desk

BACKENDS = ("iptables", "nftables")
IPAM = {"type": "host-local", "ranges": [[{"subnet": "10.5.0.0/24"}], [{"subnet": "fd00:5::/64"}]]}
BRIDGE: dict[str, Any] = {"type": "bridge", "bridge": "br0", "isDefaultGateway": True, "ipam": IPAM}
PORTS = [
    {"hostPort": 8080, "containerPort": 80},
    {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "192.0.2.1"},
]
ATTACHMENT = Attachment("net1", "c1", "eth0")
WEB = PortMapping(host_port=8080, container_port=80, protocol="tcp")


def portmap(backend: str, ports: list[dict[str, Any]] | None = None, **keys: Any) -> dict[str, Any]:
    """The configuration with a backend and `portMappings`."""
    mappings = PORTS if ports is None else ports
    return {"type": "portmap", "backend": backend, "runtimeConfig": {"portMappings": mappings}, **keys}


def publication(*mappings: PortMapping, **keys: Any) -> Publication:
    """What these mappings publish for a container with an address of each family."""
    return Publication(
        attachment=ATTACHMENT,
        backend="iptables",
        config=Config(mappings=mappings, **keys),
        address4="10.1.0.2/24",
        address6="fd00:1::2/64",
        host_link="veth1",
        interface="br0",
    )


class PortmapDesk:
    """A desk whose container c1 is on the bridge; `call` publishes for it. `keys` are of every configuration."""

    def __init__(self, backend: str, **keys: Any) -> None:
        self.backend = backend
        self.keys = {"dropDirectAccess": True, **keys}
        self.runtime = Desk()
        self.runtime.call("ADD", BRIDGE)
        self.attached = self.runtime.result
        self.runtime.host.revive()

    @property
    def host(self) -> MemoryHost:
        return self.runtime.host

    def call(self, verb: str, ports: list[dict[str, Any]] | None = None, **keys: Any) -> Any:
        config = portmap(self.backend, ports, prevResult=self.attached, **{**self.keys, **keys})
        return self.runtime.call(verb, config)

    def second(self) -> dict[str, Any]:
        """The configuration for another container, which publishes another port."""
        return portmap(self.backend, [{"hostPort": 8081, "containerPort": 80}], **self.keys)

    def own(self) -> frozenset[str]:
        """What of the host's state tells of the container's ports or is a file of ours."""
        words = (
            *("8080", "portmap", "/ports/", "CNI-DN", "CNI-SHIELD-", "published4", "shielded4 Element"),
            "/localnet/",
        )
        shared = ("/locks/",)
        return frozenset(
            line
            for line in self.host.state()
            if any(word in line for word in words) and not any(word in line for word in shared)
        )
