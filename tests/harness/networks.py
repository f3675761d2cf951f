"""Networks as nerdctl writes them, bridge, portmap and firewall, whose executables a `Chain` runs; and containers for them.

chain = network(host, "n1", 71, backend="nftables", ingressPolicy="same-bridge")
web = box(host, "web", published(8080))
result = chain.add(web)
host_port_answers = ask(host, HOST_V4, 8080, netns=OUTSIDE)
container_answers = ask(host, address(result), 80)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.harness import ours
from tests.harness.chain import Attachment, Chain
from tests.harness.privatehost import PrivateHost
from tests.harness.world import published

JsonObject = dict[str, Any]
__all__ = ["address", "box", "conflist", "network", "only", "published", "use_once"]


def conflist(
    name: str,
    number: int,
    *,
    bridge: Mapping[str, Any] | None = None,
    portmap: Mapping[str, Any] | None = None,
    **firewall: Any,
) -> JsonObject:
    """A list on bridge br-<name> with 10.<number>.0.0/24 and fd00:<number>::/64.

    `firewall` are that plugin's keys, of which `backend` is everybody's; `bridge` and `portmap` are more keys of those two.
    """
    ranges = [[{"subnet": f"10.{number}.0.0/24"}], [{"subnet": f"fd00:{number}::/64"}]]
    routes = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
    backend = firewall.get("backend", "")
    plugins = [
        {
            "type": "bridge",
            "bridge": f"br-{name}",
            "isGateway": True,
            "ipMasq": True,
            "ipMasqBackend": backend,
            "ipam": {"type": "host-local", "ranges": ranges, "routes": routes},
            **(bridge or {}),
        },
        {"type": "portmap", "backend": backend, "capabilities": {"portMappings": True}, **(portmap or {})},
        {"type": "firewall", **firewall},
    ]
    return {"cniVersion": "1.1.0", "name": name, "plugins": plugins}


def network(
    host: PrivateHost, name: str, number: int, *, env: Mapping[str, str] = ours.STANDALONE, **keys: Any
) -> Chain:
    """The means to run such a list with our executables, which `ours.install` has put into the host."""
    return Chain(conflist(name, number, **keys), ours.BIN, host=host, env=env)


def box(host: PrivateHost, name: str, *ports: JsonObject) -> Attachment:
    """A new container with a namespace of its name, and the ports that it asks for."""
    return Attachment(
        name, host.add_netns(name, loopback_up=True), capabilities={"portMappings": list(ports)}
    )


def use_once(host: PrivateHost, *chains: Chain) -> None:
    """Let a container come and go on each network, so that what it makes once and keeps is there."""
    for chain in chains:
        first = box(host, "first", published(9))
        chain.add(first)
        chain.delete(first)
        host.del_netns("first")


def address(result: Mapping[str, Any], family: int = 4) -> str:
    """The container's address of a family in such a network's result."""
    return str(result["ips"][0 if family == 4 else 1]["address"]).partition("/")[0]


def only(chain: Chain, plugin: str) -> JsonObject:
    """One plugin's part of the list."""
    return next(each for each in chain.plugins if each["type"] == plugin)
