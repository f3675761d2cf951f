"""The host as a plugin sees it.

`host.linux` implements this contract on the kernel, `host.memory` in memory; tests/contract runs the same
tests on both. A request that fails raises KernelRefused (with its errno), IoFailure, ToolMissing or
InvalidNetns, never an exception of an underlying library. Only ENODEV and ENOENT mean that something is
absent; every other error is raised.

Nothing here does anything: Protocols and the values that they pass. Imports `cni` and `netfilter.rules` only.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from linkspan.host.contract.files import Files
from linkspan.host.contract.links import KernelRoute, Link, Links, PolicyRule, PortVlans
from linkspan.host.contract.namespaces import Namespaces, Netns
from linkspan.host.contract.netfilter import Conntrack, Iptables, Nftables
from linkspan.host.contract.processes import Finished, Process, Processes
from linkspan.host.contract.services import Services
from linkspan.host.contract.sockets import Listener

__all__ = [
    "Conntrack",
    "Files",
    "Finished",
    "Host",
    "Iptables",
    "KernelRoute",
    "Link",
    "Links",
    "Listener",
    "Namespaces",
    "Netns",
    "Nftables",
    "PolicyRule",
    "PortVlans",
    "Process",
    "Processes",
    "Services",
]


class Host(Protocol):
    """The host as one call sees it."""

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
    def namespaces(self) -> Namespaces: ...

    @property
    def services(self) -> Services: ...

    @property
    def state_dir(self) -> str:
        """Where state is kept that must outlive neither this boot nor our network namespace; see `paths`."""

    @property
    def boot(self) -> str:
        """Identifies this boot and our network namespace: "<boot id> <namespace cookie>"."""

    def links(self, netns: str = "") -> Links:
        """The links of our own network namespace, or of the one at a path.

        Raises NetnsGone if nothing is at the path, InvalidNetns if that is not a network namespace.
        """

    def same_netns(self, netns: str) -> bool:
        """Whether a path is our own network namespace; False if nothing is there.

        Raises InvalidNetns if that cannot be determined.
        """

    def netns_identity(self, netns: str) -> str:
        """Tells the network namespaces that exist at this moment apart; "" if nothing is at the path.

        A namespace that is created later may get the number of one that has ended. Raises InvalidNetns if it
        cannot be determined.
        """

    def listening(self, protocol: str, ports: Collection[int]) -> tuple[Listener, ...]:
        """The listeners of a protocol ("tcp", "udp", "sctp") on these ports, on whatever address.

        Raises KernelRefused.
        """

    @property
    def warnings(self) -> Sequence[str]:
        """What was warned of so far."""

    def warn(self, message: str) -> None:
        """Write one line to the caller's stderr, and add it to `warnings`."""

    def close(self) -> None:
        """Close what this call opened. What a worker keeps between calls stays open."""
