"""Containers on networks of a private host, attached by our plugins called in this process: quick, on a real kernel.

    with world_of(host, backend="nftables", nf_call=1) as world:
        web = world.box("web", ports=[published(8080)])
        with world.serving(web):
            assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"

Network `net1` is the bridge br-net1 with 10.1.0.0/24 and fd00:1::/64, `net2` the same with a 2, and so on. Every container has a
default route through its bridge.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from linkspan.call import dispatch
from linkspan.call.plugin import load
from linkspan.daemon.services import LinuxServices
from linkspan.host.linux import LinuxHost, SharedSockets
from tests.harness import ours, talk
from tests.harness.privatehost import PrivateHost

JsonObject = dict[str, Any]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class PluginFailed(Exception):
    """A plugin answered with an error object, which is `error`."""

    def __init__(self, error: JsonObject) -> None:
        self.error = error
        super().__init__(f"code {error.get('code')}: {error.get('msg')}; {error.get('details', '')}")


@dataclass
class Box:
    """A container. `result` is what bridge answered, `portmap` the configuration its ports were published with."""

    name: str
    netns: str
    network: str
    ifname: str
    result: JsonObject
    portmap: JsonObject = field(default_factory=dict)

    @property
    def v4(self) -> str:
        """Its IPv4 address."""
        return str(self.result["ips"][0]["address"]).partition("/")[0]

    @property
    def v6(self) -> str:
        """Its IPv6 address."""
        return str(self.result["ips"][1]["address"]).partition("/")[0]


def published(
    host_port: int, container_port: int = 80, protocol: str = "tcp", host_ip: str = ""
) -> JsonObject:
    """One element of portMappings."""
    mapping = {"hostPort": host_port, "containerPort": container_port, "protocol": protocol}
    return {**mapping, "hostIP": host_ip} if host_ip else mapping


@contextmanager
def world_of(host: PrivateHost, *, backend: str = "nftables", nf_call: int = 1) -> Iterator[World]:
    """A world on a host, with br_netfilter calling iptables (and nftables) for bridged packets or not."""
    for family in ("ip", "ip6"):
        host.run(["sysctl", "-qw", f"net.bridge.bridge-nf-call-{family}tables={nf_call}"])
    ours.install(host)
    world = World(host, backend)
    try:
        yield world
    finally:
        world.close()


class World:
    """See the module. Methods raise PluginFailed."""

    def __init__(self, host: PrivateHost, backend: str) -> None:
        self.host = host
        self.backend = backend
        self.warnings: list[str] = []
        with host.entered():
            self._shared = SharedSockets()

    def close(self) -> None:
        """Give back the sockets."""
        self._shared.close()

    # --- containers -----------------------------------------------------------------------------------------------

    def box(
        self,
        name: str,
        *,
        network: str = "net1",
        ports: Sequence[JsonObject] = (),
        ifname: str = "eth0",
        netns: str = "",
        bridge: Mapping[str, Any] | None = None,
        **portmap: Any,
    ) -> Box:
        """A container on a network, with these ports published; `portmap` and `bridge` are further keys of their configurations."""
        path = netns or self.host.add_netns(name, loopback_up=True)
        box = Box(name, path, network, ifname, {})
        box.result = self.call("bridge", "ADD", box, self.bridge_config(network, bridge))
        if ports or portmap:
            self.publish(box, ports, **portmap)
        return box

    def publish(self, box: Box, ports: Sequence[JsonObject] = (), **portmap: Any) -> JsonObject:
        """Publish ports of a container, or publish others instead."""
        box.portmap = self.portmap_config(box.network, ports, **portmap)
        return self.call("portmap", "ADD", box, {**box.portmap, "prevResult": box.result})

    def check(self, box: Box, **changed: Any) -> None:
        """CHECK of portmap."""
        self.call("portmap", "CHECK", box, {**box.portmap, "prevResult": box.result, **changed})

    def unpublish(self, box: Box, *, knows: bool = False) -> None:
        """DEL of portmap; `knows` passes what ADD had, else neither ports nor prevResult."""
        config = {**box.portmap, "prevResult": box.result} if knows else self.portmap_config(box.network)
        self.call("portmap", "DEL", box, config)

    def remove(self, box: Box) -> None:
        """DEL of the whole chain, and the end of the container's namespace."""
        self.unpublish(box)
        self.call("bridge", "DEL", box, self.bridge_config(box.network))
        self.host.del_netns(box.name)

    def gc(self, network: str, living: Sequence[Box]) -> None:
        """GC of portmap."""
        valid = [{"containerID": each.name, "ifname": each.ifname} for each in living]
        box = Box("", "", network, "", {})
        self.call("portmap", "GC", box, {**self.portmap_config(network), "cni.dev/valid-attachments": valid})

    def status(self, **portmap: Any) -> None:
        """STATUS of portmap."""
        self.call("portmap", "STATUS", Box("", "", "net1", "", {}), self.portmap_config("net1", **portmap))

    # --- configurations and calls ---------------------------------------------------------------------------------

    def bridge_config(self, network: str, more: Mapping[str, Any] | None = None) -> JsonObject:
        """The configuration of bridge for a network."""
        number = network.removeprefix("net")
        ranges = [[{"subnet": f"10.{number}.0.0/24"}], [{"subnet": f"fd00:{number}::/64"}]]
        return {
            "cniVersion": "1.1.0",
            "name": network,
            "type": "bridge",
            "bridge": f"br-{network}",
            "isDefaultGateway": True,
            "ipMasq": True,
            "ipMasqBackend": self.backend,
            "ipam": {"type": "host-local", "ranges": ranges},
            **(more or {}),
        }

    def portmap_config(self, network: str, ports: Sequence[JsonObject] = (), **more: Any) -> JsonObject:
        """The configuration of portmap for a network."""
        config = {"cniVersion": "1.1.0", "name": network, "type": "portmap", "backend": self.backend, **more}
        return {**config, "runtimeConfig": {"portMappings": list(ports)}} if ports else config

    def call(self, plugin: str, verb: str, box: Box, config: JsonObject) -> JsonObject:
        """One call of one plugin of ours in this process; its result, {} for verbs that have none."""
        env = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": box.name,
            "CNI_NETNS": box.netns,
            "CNI_IFNAME": box.ifname,
            "CNI_PATH": "/opt/cni/bin",
            "PATH": PATH,
        }
        with self.host.entered():
            host = _Listening(self._shared, self.warnings)
            try:
                status, stdout = dispatch.answer(load(plugin), json.dumps(config).encode(), env, host)
            finally:
                host.close()
        answer = json.loads(stdout) if stdout else {}
        if status != 0:
            raise PluginFailed(answer)
        return dict(answer)

    # --- traffic --------------------------------------------------------------------------------------------------

    @contextmanager
    def serving(self, box: Box, port: int = 80, kind: str = "tcp") -> Iterator[None]:
        """A server in a container that answers with the container's name and the asker's address."""
        with talk.serve(self.host, box.netns, port=port, kind=kind, name=box.name):
            yield

    def asks(
        self, netns: str | None, address: str, port: int, *, kind: str = "tcp", wait: float = 0.5
    ) -> str:
        """Who answers a caller in a namespace (None: the host): a server's name, "" if nobody does."""
        return (talk.ask(self.host, address, port, netns=netns, kind=kind, wait=wait) or "").partition(" ")[0]

    def rules(self, *argv: str) -> str:
        """What a command that shows rules prints, such as `iptables-save -t nat`."""
        return str(self.host.run(list(argv)).stdout)


class _Listening(LinuxHost):
    """The real host, whose warnings a test can read."""

    def __init__(self, shared: SharedSockets, warnings: list[str]) -> None:
        super().__init__(shared=shared, services=LinuxServices)
        self.warnings = warnings

    def warn(self, message: str) -> None:
        """Keep it."""
        self.warnings.append(message)
