"""Chains of ours and of the reference's executables.

theirs = side(host, reference, THEIRS)        # /opt/theirs, where every executable is the reference's
mixed = side(host, reference, ["bridge"])     # the reference's bridge, all others ours
pool(host, mixed, "10.1.0.0/29").add(Attachment("c1", "/run/netns/none"))
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from tests.harness import ours
from tests.harness.chain import Attachment, Chain
from tests.harness.privatehost import PrivateHost

THEIRS = ("bridge", "firewall", "host-local", "portmap", "tuning")
NOWHERE = "/run/netns/none"
"""A namespace for calls of host-local, which never opens it."""
LEASES = "/var/lib/cni/networks"


def side(host: PrivateHost, reference: str, names: Iterable[str]) -> list[str]:
    """A CNI_PATH, inside the host, where these executables are the reference's and all others ours."""
    chosen = sorted(names)
    if not chosen:
        return [ours.BIN]
    folder = f"/opt/reference/{'+'.join(chosen)}"
    for name in chosen:
        host.run(["install", "-D", f"{reference}/{name}", f"{folder}/{name}"])
    return [folder, ours.BIN]


def pool(host: PrivateHost, path: list[str], *subnets: str, env: Mapping[str, str] = ours.RESIDENT) -> Chain:
    """host-local alone, with a range set for each subnet."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": subnet}] for subnet in subnets]}
    network = {"cniVersion": "1.1.0", "name": "pool", "plugins": [{"type": "host-local", "ipam": ipam}]}
    return Chain(network, path, host=host, env=env)


def network(version: str = "1.1.0", backend: str | None = None) -> dict[str, Any]:
    """A list of all plugins that both have, in the reference's keys: 10.1.0.0/24 and fd00:1::/64 on the bridge mixed0."""
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": "mixed0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": ipam,
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    if backend is not None:
        bridge["ipMasqBackend"] = portmap["backend"] = backend
    plugins = [bridge, portmap, {"type": "firewall"}, {"type": "tuning", "mtu": 1400}]
    return {"cniVersion": version, "name": "mixed", "plugins": plugins}


def container(name: str) -> Attachment:
    """An attachment for `pool`."""
    return Attachment(name, NOWHERE)


def addresses(result: Mapping[str, Any]) -> list[str]:
    """The addresses of a result, without their prefix lengths."""
    return [str(ip["address"]).partition("/")[0] for ip in result["ips"]]


def leased(host: PrivateHost, name: str = "pool") -> list[str]:
    """The addresses that have a lease file."""
    folder = host.path(f"{LEASES}/{name}")
    return sorted(each for each in os.listdir(folder) if each[0].isdigit() or ":" in each)
