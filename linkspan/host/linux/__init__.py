"""The host as it is: the contract on a real kernel. Everything is made when first used, so that making a host costs nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from functools import cached_property

from linkspan import paths
from linkspan.host.contract import Conntrack, Iptables, Nftables
from linkspan.host.linux.files import LinuxFiles
from linkspan.host.linux.links import LinuxLinks, same_namespace
from linkspan.host.linux.namespaces import checked, open_netns
from linkspan.host.linux.processes import LinuxProcesses
from linkspan.netfilter.rules import Family


class Warm:
    """What a worker keeps between calls: sockets and contexts of the namespace it runs in."""

    def __init__(self) -> None:
        self.state_dir = paths.state_dir()
        self.read_tables: set[tuple[Family, str]] = set()
        self._links: LinuxLinks | None = None

    @cached_property
    def nftables(self) -> Nftables:
        """Our nftables table, with a context that stays open."""
        from linkspan.host.linux.nftables import LinuxNftables

        return LinuxNftables()

    @cached_property
    def boot(self) -> str:
        """See contract.Host."""
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {paths.netns_cookie()}"

    def links(self, open_peer: Callable[[str], int]) -> LinuxLinks:
        """Our own namespace's links; `open_peer` is how the present call opens a container's namespace."""
        if self._links is None:
            self._links = LinuxLinks(None, open_peer)
        self._links.open_peer = open_peer
        return self._links

    def close(self) -> None:
        """Give back every socket."""
        if self._links is not None:
            self._links.close()


class LinuxHost:
    """The contract's Host for one call. `netns_fds` are namespaces the caller opened already: path -> descriptor."""

    def __init__(
        self, netns_fds: Mapping[str, int] | None = None, stderr: int = 2, warm: Warm | None = None
    ) -> None:
        self._own_warm = warm is None
        self._warm = warm or Warm()
        self._stderr = stderr
        self._given = dict(netns_fds or {})
        self._opened: dict[str, int] = {}
        self._inside: dict[str, LinuxLinks] = {}
        self.files = LinuxFiles(self._warm.state_dir)
        self.processes = LinuxProcesses(self.files.held, stderr)

    @cached_property
    def iptables(self) -> Iptables:
        """See contract.Host."""
        from linkspan.host.linux.iptables.tables import LinuxIptables

        return LinuxIptables(self.processes, read=self._warm.read_tables)

    @property
    def nftables(self) -> Nftables:
        """See contract.Host."""
        return self._warm.nftables

    @cached_property
    def conntrack(self) -> Conntrack:
        """See contract.Host."""
        from linkspan.host.linux.netlink.conntrack import LinuxConntrack

        return LinuxConntrack()

    @property
    def state_dir(self) -> str:
        """See contract.Host."""
        return self._warm.state_dir

    @property
    def boot(self) -> str:
        """See contract.Host."""
        return self._warm.boot

    def links(self, netns: str = "") -> LinuxLinks:
        """See contract.Host."""
        if not netns:
            return self._warm.links(self._descriptor)
        if netns not in self._inside:
            self._inside[netns] = LinuxLinks(self._descriptor(netns), self._descriptor)
        return self._inside[netns]

    def same_netns(self, netns: str) -> bool:
        """See contract.Host."""
        given = self._given.get(netns)
        return same_namespace(netns if given is None else f"/proc/self/fd/{given}")

    def listening(self, protocol: str, ports: Collection[int]) -> frozenset[int]:
        """See contract.Host."""
        from linkspan.host.linux.netlink.sock_diag import listening

        return listening(protocol, ports)

    def warn(self, message: str) -> None:
        """See contract.Host."""
        os.write(self._stderr, f"linkspan: {message}\n".encode())

    def close(self) -> None:
        """See contract.Host."""
        for links in self._inside.values():
            links.close()
        for descriptor in (*self._opened.values(), *self._given.values()):
            os.close(descriptor)
        self._inside, self._opened, self._given = {}, {}, {}
        if self._own_warm:
            self._warm.close()

    def _descriptor(self, netns: str) -> int:
        if netns in self._given:
            return checked(self._given[netns], netns)
        if netns not in self._opened:
            self._opened[netns] = open_netns(netns)
        return self._opened[netns]
