"""The host in memory: the contract without a kernel, for tests of whatever acts through it.

    host = MemoryHost(refuse={"links.create_veth": errno.ENOMEM, ("files.write", 2): errno.ENOSPC})
    host.add_netns("/run/netns/box")

It ships with the package, so that a plugin of somebody else's can be tested the same way. tests/contract holds it against the real
kernel. (The `MemoryHost` of tests/harness is another thing: a sandbox of real namespaces.)
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from linkspan import paths
from linkspan.cni.errors import InvalidNetns, IoFailure, KernelRefused, NetnsGone
from linkspan.host import contract
from linkspan.host.memory.files import MemoryFiles
from linkspan.host.memory.links import MemoryLinks
from linkspan.host.memory.netfilter import MemoryIptables, MemoryNftables
from linkspan.host.memory.processes import MemoryProcesses
from linkspan.netfilter.rules import Flow

#: The chains that every table of iptables has without anybody's doing.
_BUILT_IN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")

#: A request: "part.method", and the how many-th of its name it is, from 1.
Request = tuple[str, int]
#: How a request fails: with an errno, as on the real host, or with an exception as it is.
Failure = int | BaseException
_Part = TypeVar("_Part")


@dataclass(frozen=True, slots=True)
class ReplyLost:
    """A request that is carried out and fails nevertheless, as when the kernel's reply does not fit (ENOBUFS)."""

    failure: Failure


class Killed(BaseException):
    """What a process feels that is killed: no handler of ours may matter any more, since every further request raises it too."""


class MemoryConntrack:
    """The contract's Conntrack. `flows` are what is tracked; `flushed` what was asked to be forgotten."""

    def __init__(self) -> None:
        self.flows: list[Flow] = []
        self.flushed: list[Flow] = []

    def flush(self, flows: Iterable[Flow]) -> int:
        """See contract.Conntrack."""
        wanted = list(flows)
        self.flushed += wanted
        kept = [each for each in self.flows if not any(_matches(flow, each) for flow in wanted)]
        gone = len(self.flows) - len(kept)
        self.flows = kept
        return gone


class MemoryHost:
    """The contract's Host. `refuse` says which requests fail, and how: every one of a name, or its n-th.

    Such a request does nothing, unless its failure is a ReplyLost.

    `requests` has all requests so far, as keys that `refuse` takes, so that a test can refuse each in turn. A request equal to
    `dies_at`, and each after it, raises Killed: the caller was killed there; `revive` is the next process on the same host.
    """

    def __init__(
        self,
        refuse: Mapping[str | Request, Failure | ReplyLost] | None = None,
        *,
        dies_at: Request | None = None,
        boot: str = "first-boot 1",
        state_dir: str = f"{paths.RUN_DIR}/1",
    ) -> None:
        self.refuse = dict(refuse or {})
        self.dies_at = dies_at
        self.boot = boot
        self.state_dir = state_dir
        self.requests: list[Request] = []
        self.warnings: list[str] = []
        self.listeners: set[tuple[str, int]] = set()
        self.closed = False
        self._dead = False
        self._counts: Counter[str] = Counter()
        self._namespaces = {paths.OWN_NETNS: MemoryLinks(self.namespace)}
        self.iptables = self._watched("iptables", contract.Iptables, MemoryIptables())
        self.nftables = self._watched("nftables", contract.Nftables, MemoryNftables())
        self.conntrack = self._watched("conntrack", contract.Conntrack, MemoryConntrack())
        self.files = self._watched("files", contract.Files, MemoryFiles())
        self.processes = self._watched("processes", contract.Processes, MemoryProcesses())

    # --- the contract -------------------------------------------------------------------------------------------------

    def links(self, netns: str = "") -> MemoryLinks:
        """See contract.Host."""
        return self._watched("links", contract.Links, self.namespace(netns or paths.OWN_NETNS))

    def same_netns(self, netns: str) -> bool:
        """See contract.Host."""
        return self._namespaces.get(netns) is self._namespaces[paths.OWN_NETNS]

    def listening(self, protocol: str, ports: Collection[int]) -> frozenset[int]:
        """See contract.Host: what a test put into `listeners`."""
        return frozenset(port for port in ports if (protocol, port) in self.listeners)

    def warn(self, message: str) -> None:
        """See contract.Host: it ends up in `warnings`."""
        self.warnings.append(message)

    def close(self) -> None:
        """See contract.Host."""
        self.closed = True

    # --- for the test -------------------------------------------------------------------------------------------------

    def add_netns(self, path: str) -> MemoryLinks:
        """A fresh network namespace at a path: lo, and that down."""
        made = self._namespaces[path] = MemoryLinks(self.namespace)
        return made

    def del_netns(self, path: str) -> None:
        """The namespace ends, and its links with it."""
        self._namespaces.pop(path).end()

    def namespace(self, netns: str) -> MemoryLinks:
        """The links of a namespace, to look at: not counted and never refused. Raises NetnsGone, InvalidNetns."""
        found = self._namespaces.get(netns)
        if found is not None:
            return found
        if self.files.exists(netns):
            raise InvalidNetns(f"CNI_NETNS {netns} is not a network namespace")
        raise NetnsGone(f"CNI_NETNS {netns} is gone")

    def revive(self) -> None:
        """Whoever was killed is gone; the next caller is not refused anything."""
        self.refuse, self.dies_at, self._dead = {}, None, False
        self.requests.clear()
        self._counts.clear()

    def state(self) -> frozenset[str]:
        """All that is there, one line for each thing; two states are compared as sets."""
        return frozenset(self._lines())

    # --- underneath ---------------------------------------------------------------------------------------------------

    def _lines(self) -> Iterator[str]:
        for path, links in self._namespaces.items():
            yield from (f"{path} {line}" for line in links.lines())
        yield from self.files.lines()
        for (family, table), chains in self.iptables.tables.items():
            for chain, rules in chains.items():
                empty = [] if chain in _BUILT_IN else [""]
                yield from (f"iptables {family} {table} {chain} {rule}" for rule in rules or empty)
        if self.nftables.table is not None:
            for name, elements in self.nftables.table.sets.items():
                yield from (f"nftables {name} {element}" for element in elements.values())
            yield from (f"nftables {name} {chain}" for name, chain in self.nftables.table.chains.items())

    def _watched(self, name: str, protocol: type, part: _Part) -> _Part:
        return cast("_Part", _Watched(name, protocol, part, self._ask))

    def _ask(self, method: str, words: str) -> BaseException | None:
        """Note a request; raise what it is refused with, or return what it fails with once it is carried out."""
        self._counts[method] += 1
        request = (method, self._counts[method])
        self._dead = self._dead or request == self.dies_at
        if self._dead:
            raise Killed
        self.requests.append(request)
        refusal = self.refuse.get(request, self.refuse.get(method))
        if isinstance(refusal, ReplyLost):
            return _exception(method, words, refusal.failure)
        if refusal is not None:
            raise _exception(method, words, refusal)
        return None


class _Watched:
    """A part of the host whose contract methods are told to `ask` before they do anything."""

    def __init__(
        self, name: str, protocol: type, part: object, ask: Callable[[str, str], BaseException | None]
    ) -> None:
        vars(self).update(_name=name, _protocol=protocol, _part=part, _ask=ask)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._part, name, value)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name not in vars(self._protocol):
            return found

        def asked(*words: Any, **more: Any) -> Any:
            failure = self._ask(f"{self._name}.{name}", str(words[0]) if words else "")
            answer = found(*words, **more)
            if failure is not None:
                raise failure
            return answer

        return asked


def _exception(method: str, words: str, failure: Failure) -> BaseException:
    """What the real host raises for an errno: files and programs fail, the kernel refuses."""
    if isinstance(failure, BaseException):
        return failure
    if method.startswith(("files.", "processes.")):
        shown = f"cannot {method.partition('.')[2]} {words[:60]}"
        return IoFailure(f"{shown}: {os.strerror(failure)}", errno=failure)
    return KernelRefused(f"do {method} {words[:40]}".strip(), failure or errno.EIO)


def _matches(wanted: Flow, flow: Flow) -> bool:
    return (
        (wanted.family, wanted.protocol) == (flow.family, flow.protocol)
        and wanted.to_port in (0, flow.to_port)
        and wanted.to_address in ("", flow.to_address)
        and wanted.reply_from in ("", flow.reply_from)
    )
