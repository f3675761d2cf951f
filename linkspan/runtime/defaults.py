"""What the lists of `network create` contain: the one place for the keys that ours carry and the reference's
do not.

The sample lists in cni-conf have the same keys; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: The version that the oldest runtimes need, and all for which the list is valid (SPEC 1.1.0, section 1).
VERSIONS: Mapping[str, Any] = {"cniVersion": "1.0.0", "cniVersions": ["1.0.0", "1.1.0"]}

_CAPABILITIES = {"ips": True, "mac": True}
#: bridge, for a network with a way to the outside and for an internal one.
BRIDGE: Mapping[str, Any] = {
    "isDefaultGateway": True,
    "ipMasq": True,
    "ipMasqBackend": "nftables",
    "isolated": True,
    "acceptRA": False,
    "macspoofchk": True,
    "arpspoofchk": True,
    "refuseOverlap": True,
    "capabilities": _CAPABILITIES,
}
INTERNAL_BRIDGE: Mapping[str, Any] = {
    "isGateway": True,
    "internal": True,
    "acceptRA": False,
    "macspoofchk": True,
    "arpspoofchk": True,
    "refuseOverlap": True,
    "capabilities": _CAPABILITIES,
}
#: What follows bridge in the list.
PORTMAP: Mapping[str, Any] = {
    "type": "portmap",
    "backend": "nftables",
    "localhost": "relay",
    "refuseTakenPorts": True,
    "capabilities": {"portMappings": True},
}
DNS: Mapping[str, Any] = {"type": "dns", "capabilities": {"aliases": True}}
