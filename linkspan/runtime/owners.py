"""What people call the container that a CNI container ID stands for. Pure.

The IDs: nerdctl and ctr have NAMESPACE-ID, with 64 hex digits from nerdctl and a name from ctr; podman and
CRI 64 hex digits; cnitool a digest of the namespace's path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from linkspan.runtime.endpoints import Endpoint

_HEX_ID = re.compile(r"(?:(?P<namespace>.+)-)?(?P<id>[0-9a-f]{64})")
_NAMED_NETNS = re.compile(r"(?:/var)?/run/netns/(?P<name>(?!cni-|netns-)[^/]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A container: the ID that its runtime shows, its name, and the runtime ("nerdctl", "podman",
    "cri", "ctr", "netns").
    """

    id: str
    name: str
    runtime: str
    namespace: str = ""


def owner_of(endpoint: Endpoint, nerdctl_names: Mapping[str, str]) -> Owner:
    """The container of an endpoint. `nerdctl_names` is nerdctl's store: ID -> name."""
    container_id = endpoint.attachment.container_id
    hexadecimal = _HEX_ID.fullmatch(container_id)
    pod = endpoint.args.get("K8S_POD_NAME", "")
    if hexadecimal and hexadecimal["namespace"]:
        short = hexadecimal["id"]
        name = nerdctl_names.get(short, short[:12])
        return Owner(id=short, name=name, runtime="nerdctl", namespace=hexadecimal["namespace"])
    if pod:
        runtime = "cri" if "K8S_POD_NAMESPACE" in endpoint.args else "podman"
        return Owner(id=container_id, name=pod, runtime=runtime)
    named = _NAMED_NETNS.fullmatch(endpoint.sandbox)
    if named:
        return Owner(id=container_id, name=named["name"], runtime="netns")
    if hexadecimal:
        return Owner(id=container_id, name=container_id[:12], runtime="podman")
    namespace, dash, name = container_id.partition("-")
    if dash and name and not container_id.startswith("cnitool-"):
        return Owner(id=container_id, name=name, runtime="ctr", namespace=namespace)
    return Owner(id=container_id, name=container_id, runtime="")
