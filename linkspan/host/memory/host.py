"""The contract's Host in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from linkspan import paths
from linkspan.cni.errors import InvalidNetns, NetnsGone
from linkspan.host import contract
from linkspan.host.memory.faults import Failure, Faults, ReplyLost, Request
from linkspan.host.memory.files import MemoryFiles
from linkspan.host.memory.links import MemoryLinks
from linkspan.host.memory.namespaces import MemoryNamespaces
from linkspan.host.memory.netfilter import MemoryConntrack, MemoryIptables
from linkspan.host.memory.nftables import MemoryNftables
from linkspan.host.memory.processes import MemoryProcesses
from linkspan.host.memory.services import MemoryServices


class MemoryHost(Faults):
    """A host with one network namespace of its own, and those of containers that a test adds; see Faults for
    `refuse` and `dies_at`.

    `warnings` are what callers were told; `listeners` are the sockets that a test lets processes listen on
    (see `listen`).
    """

    def __init__(
        self,
        refuse: Mapping[str | Request, Failure | ReplyLost] | None = None,
        *,
        dies_at: Request | None = None,
        boot: str = "first-boot 1",
        state_dir: str = paths.state_of(1),
    ) -> None:
        super().__init__(refuse, dies_at)
        self.boot = boot
        self.state_dir = state_dir
        self.warnings: list[str] = []
        self.listeners: list[contract.Listener] = []
        self.closed = False
        self._namespaces = {paths.OWN_NETNS: MemoryLinks(self.namespace)}
        self._files = MemoryFiles()
        self.files = self.guarded("files", contract.Files, self._files)
        self.iptables = self.guarded("iptables", contract.Iptables, MemoryIptables())
        self.nftables = self.guarded("nftables", contract.Nftables, MemoryNftables())
        self.conntrack = self.guarded("conntrack", contract.Conntrack, MemoryConntrack())
        self.processes = self.guarded("processes", contract.Processes, MemoryProcesses())
        namespaces = MemoryNamespaces(self._namespaces, self.namespace)
        self.namespaces = self.guarded("namespaces", contract.Namespaces, namespaces)
        self.services = self.guarded("services", contract.Services, MemoryServices())

    # --- the contract -----------------------------------------------------------------------------

    def links(self, netns: str = "") -> MemoryLinks:
        """See contract.Host."""
        return self.guarded("links", contract.Links, self.namespace(netns or paths.OWN_NETNS))

    def same_netns(self, netns: str) -> bool:
        """See contract.Host."""
        return self._namespaces.get(netns) is self._namespaces[paths.OWN_NETNS]

    def netns_identity(self, netns: str) -> str:
        """See contract.Host."""
        found = self._namespaces.get(netns)
        return "" if found is None else str(id(found))

    def listening(self, protocol: str, ports: Collection[int]) -> tuple[contract.Listener, ...]:
        """See contract.Host: what a test put into `listeners`."""
        lost = self.count("host.listening", protocol)
        if lost is not None:
            raise lost
        return tuple(each for each in self.listeners if each.protocol == protocol and each.port in ports)

    def warn(self, message: str) -> None:
        """See contract.Host: it is added to `warnings`."""
        self.warnings.append(message)

    def close(self) -> None:
        """See contract.Host."""
        self.closed = True

    # --- for tests --------------------------------------------------------------------------------

    def listen(self, protocol: str, port: int, address: str = "", by: contract.Process | None = None) -> int:
        """Let a process, which may be unknown, listen on a port of an address; "" stands for every address.

        Returns the inode of the socket.
        """
        inode = 1000 + len(self.listeners)
        for each in (address,) if address else ("::", "0.0.0.0"):  # noqa: S104 - in memory
            self.listeners.append(contract.Listener(protocol=protocol, address=each, port=port, inode=inode))
        if by is not None:
            self.processes.sockets[inode] = (by,)
        return inode

    def add_netns(self, path: str, *, same_as: str = "") -> MemoryLinks:
        """Add a fresh network namespace at a path; its only link is lo, which is down.

        With `same_as` it is a further path of the one at that path.
        """
        if same_as:
            self._namespaces[path] = self._namespaces[same_as]
            return self._namespaces[path]
        added = self._namespaces[path] = MemoryLinks(self.namespace)
        return added

    def del_netns(self, path: str) -> None:
        """End a namespace, and its links with it."""
        self._namespaces.pop(path).end()

    def abandon_netns(self, path: str) -> None:
        """Let nobody hold a namespace any more, whose links are still there, as a descriptor keeps them."""
        self._namespaces.pop(path)

    def namespace(self, netns: str) -> MemoryLinks:
        """The links of a namespace, neither counted nor refused. Raises NetnsGone, InvalidNetns."""
        found = self._namespaces.get(netns)
        if found is not None:
            return found
        if self._files.exists(netns):
            raise InvalidNetns(f"CNI_NETNS {netns} is not a network namespace")
        raise NetnsGone(f"CNI_NETNS {netns} is gone")

    def state(self) -> frozenset[str]:
        """Everything that exists, one line for each thing; two states are compared as sets."""
        return frozenset(self._lines())

    def _lines(self) -> Iterator[str]:
        for path, links in self._namespaces.items():
            yield from (f"{path} {line}" for line in links.lines())
        for part in (self.files, self.iptables, self.nftables, self.services):
            yield from part.lines()
