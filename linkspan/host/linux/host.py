"""The contract's Host on the kernel, and what a worker keeps of it between calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, closing, suppress
from functools import cached_property
from typing import TYPE_CHECKING

from linkspan import paths
from linkspan.cni.addresses import Family
from linkspan.cni.errors import IoFailure
from linkspan.host.linux.errors import kernel_errors
from linkspan.host.linux.files import LinuxFiles
from linkspan.host.linux.links import LinuxLinks
from linkspan.host.linux.namespaces import LinuxNamespaces, checked, identity, open_netns, same_namespace
from linkspan.host.linux.patience import Patience
from linkspan.host.linux.processes import LinuxProcesses

if TYPE_CHECKING:
    from linkspan.host.contract import Iptables, Listener, Services
    from linkspan.host.linux.netlink.conntrack import LinuxConntrack
    from linkspan.host.linux.netlink.netfilter import NfTables
    from linkspan.host.linux.netlink.sock_diag import Listeners
    from linkspan.host.linux.nftables import LinuxNftables


class SharedSockets:
    """Sockets and contexts of our own network namespace, which a worker keeps between calls.

    Each is opened when it is first used.
    """

    def __init__(self) -> None:
        self.readable_tables: set[tuple[Family, str]] = set()
        self._closing = ExitStack()
        self._links = self._closing.enter_context(closing(LinuxLinks(None, open_netns)))

    @cached_property
    def cookie(self) -> str:
        """The number of our network namespace (paths.netns_cookie). Raises KernelRefused."""
        with kernel_errors("identify our network namespace"):
            return str(paths.netns_cookie())

    @cached_property
    def boot(self) -> str:
        """See contract.Host."""
        with kernel_errors("identify this boot"), open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return f"{file.read().decode().strip()} {self.cookie}"

    @cached_property
    def nf_tables(self) -> NfTables:
        """Questions to nf_tables."""
        from linkspan.host.linux.netlink.netfilter import NfTables

        return self._closing.enter_context(closing(NfTables()))

    @cached_property
    def nftables(self) -> LinuxNftables:
        """Our nftables table."""
        from linkspan.host.linux.nftables import LinuxNftables

        return self._closing.enter_context(closing(LinuxNftables(self.nf_tables)))

    @cached_property
    def conntrack(self) -> LinuxConntrack:
        """Tracked connections. To close such a socket may take 15 ms."""
        from linkspan.host.linux.netlink.conntrack import LinuxConntrack

        return self._closing.enter_context(closing(LinuxConntrack()))

    @cached_property
    def listeners(self) -> Listeners:
        """Sockets that listen on a port."""
        from linkspan.host.linux.netlink.sock_diag import Listeners

        return self._closing.enter_context(closing(Listeners()))

    def links(self, open_netns: Callable[[str], int]) -> LinuxLinks:
        """The links of our own namespace; `open_netns` is how the present call opens a container's."""
        self._links.open_netns = open_netns
        return self._links

    def close(self) -> None:
        """Close every socket."""
        self._closing.close()


class LinuxHost:
    """The contract's Host for one call.

    `netns_fds` are namespaces that the caller has opened: path -> descriptor. `services` makes what asks
    long-lived processes, which is the caller's because they are above this package.
    """

    def __init__(
        self,
        netns_fds: Mapping[str, int] | None = None,
        stderr: int = 2,
        shared: SharedSockets | None = None,
        services: Callable[[], Services] | None = None,
    ) -> None:
        self.warnings: list[str] = []
        self._patience = Patience()
        self._make_services = services
        self._owns_shared = shared is None
        self._shared = shared or SharedSockets()
        self._stderr = stderr
        self._given = dict(netns_fds or {})
        self._opened: dict[str, int] = {}
        self._containers: dict[str, LinuxLinks] = {}

    @cached_property
    def files(self) -> LinuxFiles:
        """See contract.Host."""
        return LinuxFiles(self.state_dir)

    @cached_property
    def processes(self) -> LinuxProcesses:
        """See contract.Host."""
        return LinuxProcesses(self.files.held, self._stderr, self._patience)

    @cached_property
    def namespaces(self) -> LinuxNamespaces:
        """See contract.Host."""
        return LinuxNamespaces(self._descriptor, lambda path: self.links(path).cookie())

    @cached_property
    def services(self) -> Services:
        """See contract.Host. Raises IoFailure in a process that asks none."""
        if self._make_services is None:
            raise IoFailure("this process does not ask other processes of linkspan")
        return self._make_services()

    @cached_property
    def iptables(self) -> Iptables:
        """See contract.Host."""
        from linkspan.host.linux.iptables.tables import LinuxIptables

        return LinuxIptables(self.processes, self._shared.nf_tables, readable=self._shared.readable_tables)

    @property
    def nftables(self) -> LinuxNftables:
        """See contract.Host."""
        return self._shared.nftables

    @property
    def conntrack(self) -> LinuxConntrack:
        """See contract.Host."""
        return self._shared.conntrack

    @property
    def state_dir(self) -> str:
        """See contract.Host."""
        return paths.state_of(self._shared.cookie)

    @property
    def boot(self) -> str:
        """See contract.Host."""
        return self._shared.boot

    def links(self, netns: str = "") -> LinuxLinks:
        """See contract.Host."""
        if not netns:
            return self._shared.links(self._descriptor)
        if netns not in self._containers:
            self._containers[netns] = LinuxLinks(self._descriptor(netns), self._descriptor)
        return self._containers[netns]

    def same_netns(self, netns: str) -> bool:
        """See contract.Host."""
        given = self._given.get(netns)
        return same_namespace(netns if given is None else f"/proc/self/fd/{given}")

    def netns_identity(self, netns: str) -> str:
        """See contract.Host."""
        return identity(netns)

    def listening(self, protocol: str, ports: Collection[int]) -> tuple[Listener, ...]:
        """See contract.Host."""
        return self._shared.listeners.among(protocol, ports)

    def warn(self, message: str) -> None:
        """See contract.Host."""
        self.warnings.append(message)
        with suppress(OSError):  # a caller that no longer listens misses a warning, not its answer
            os.write(self._stderr, f"linkspan: {message}\n".encode(errors="backslashreplace"))

    def close(self) -> None:
        """See contract.Host."""
        for links in self._containers.values():
            links.close()
        for descriptor in (*self._opened.values(), *self._given.values()):
            os.close(descriptor)
        self._containers, self._opened, self._given = {}, {}, {}
        if self._owns_shared:
            self._shared.close()

    def _descriptor(self, netns: str) -> int:
        if netns in self._given:
            return checked(self._given[netns], netns)
        if netns not in self._opened:
            self._opened[netns] = open_netns(netns)
        return self._opened[netns]
