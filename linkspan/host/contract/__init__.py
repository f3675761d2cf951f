"""The host as a plugin sees it.

`host.linux` implements this contract on the kernel, `host.memory` in memory; tests/contract runs the same tests on both. A request that
fails raises KernelRefused (with its errno), IoFailure, ToolMissing or InvalidNetns, never an exception of an underlying library. Only
ENODEV and ENOENT mean that something is absent; every other error is raised.

Nothing here does anything: Protocols and the values that they pass. Imports `cni` and `netfilter.rules` only.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from linkspan.host.contract.files import Files
from linkspan.host.contract.links import KernelRoute, Link, Links, PortVlans
from linkspan.host.contract.netfilter import Conntrack, Iptables, Nftables
from linkspan.host.contract.processes import Finished, Processes

__all__ = [
    "Conntrack",
    "Files",
    "Finished",
    "Host",
    "Iptables",
    "KernelRoute",
    "Link",
    "Links",
    "Nftables",
    "PortVlans",
    "Processes",
]


class Host(Protocol):
    """One call's view of the host. `close` gives back every descriptor of a container's namespace."""

    @property
    def iptables(self) -> Iptables: ...

    @property
    def nftables(self) -> Nftables: ...

    @property
    def conntrack(self) -> Conntrack: ...

    @property
    def files(self) -> Files: ...

    @property
    def processes(self) -> Processes: ...

    @property
    def state_dir(self) -> str:
        """/run/linkspan/<cookie of our network namespace>: what cannot outlive this boot and this namespace."""

    @property
    def boot(self) -> str:
        """What tells this boot and this network namespace from every other: "<boot id> <namespace cookie>"."""

    def links(self, netns: str = "") -> Links:
        """The links of the host, or of the namespace at a path.

        Raises NetnsGone if the path is empty-but-asked-for or absent, InvalidNetns if it is no network namespace.
        """

    def same_netns(self, netns: str) -> bool:
        """Whether a path is the namespace we run in. False when it is gone."""

    def listening(self, protocol: str, ports: Collection[int]) -> frozenset[int]:
        """Those among the ports ("tcp", "udp", "sctp") on which a process of the host waits, on whatever address."""

    def warn(self, message: str) -> None:
        """Tell the caller something on its stderr, one line."""

    def close(self) -> None:
        """Close what this call opened, and only that: warm sockets of the host's own namespace stay."""
