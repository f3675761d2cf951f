"""The containers of this host, from what their runtimes leave on disk and in /run. Reads only; no runtime is
asked, and none needs to run.

| Runtime | What is read |
|---|---|
| containerd | `STATE/io.containerd.runtime.v2.task/NAMESPACE/ID/`: config.json and init.pid of each task |
| nerdctl | annotations of that config.json; `/var/lib/nerdctl/HASH/names/NAMESPACE/NAME` has the ID |
| CRI | annotations of that config.json; `ROOT/io.containerd.grpc.v1.cri/sandboxes/ID/` of each pod |
| podman | `GRAPHROOT/DRIVER-containers/containers.json`, `ID/userdata/config.json`; pidfile below RUNROOT |
| ip-netns(8) | `/run/netns/NAME` |

A process counts as a container's only while it is in the container's control group, because numbers of
processes are used again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from linkspan.cni.errors import CniError, IoFailure
from linkspan.cni.json_value import parse_json
from linkspan.paths import OWN_NETNS
from linkspan.runtime import oci
from linkspan.runtime.container import Container, find
from linkspan.runtime.errors import NeedsRoot, NoSuchContainer
from linkspan.runtime.lists import as_list, as_mapping

if TYPE_CHECKING:
    from linkspan.host.contract import Host

#: nerdctl's store: HASH/names/NAMESPACE/NAME holds the ID, HASH/containers/NAMESPACE/ID/ its files.
NERDCTL_DIR = "/var/lib/nerdctl"
#: Where ip-netns(8) has names, and the prefixes of what containerd and podman put there.
NETNS_DIR, _FOREIGN = "/run/netns", ("cni-", "netns-")
#: The containerd namespace of CRI.
_CRI_NAMESPACE = "k8s.io"
_CONTAINERD_CONFIG, _NERDCTL_CONFIG = "/etc/containerd/config.toml", "/etc/nerdctl/nerdctl.toml"
_STORAGE_CONFIGS = ("/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
_CRI = "io.kubernetes.cri."


class Containers:
    """The containers of the host, read when first asked for."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._files = host.files
        #: Why containers are missing: who is not root cannot read the state of runtimes. "" if they are
        #: complete.
        self.incomplete = ""

    @cached_property
    def all(self) -> tuple[Container, ...]:
        """Every container, running or not, by name."""
        found: list[Container] = []
        for read in (self._containerd, self._podman, self._named_namespaces):
            found.extend(self._readable(read))
        for each in self._readable(self._nerdctl_stopped), self._readable(self._cri_stopped):
            known = {one.id for one in found}
            found.extend(one for one in each if one.id not in known)
        return tuple(sorted(found, key=lambda each: (each.name, each.runtime, each.namespace, each.id)))

    def find(self, word: str, *, namespace: str | None = None, runtime: str | None = None) -> Container:
        """The container that a word means: see `container.find`; also `pid:N` and `netns:PATH`.

        Only those of a containerd namespace or a runtime count if one is given. Raises NoSuchContainer,
        AmbiguousContainer, NeedsRoot, CniError.
        """
        kind, colon, rest = word.partition(":")
        if colon and kind == "pid" and rest.isascii() and rest.isdigit():
            return self._in_namespace(f"/proc/{rest}/ns/net", word) or self._process(int(rest))
        if colon and kind == "netns":
            return self._in_namespace(rest, word) or self._namespace(rest)
        known = [
            each
            for each in self.all
            if namespace in (None, each.namespace) and runtime in (None, each.runtime)
        ]
        try:
            return find(word, known)
        except NoSuchContainer:
            if self.incomplete:
                raise NeedsRoot(
                    f"container {word} is not found: {self.incomplete}", fix="run it as root"
                ) from None
            raise

    # --- containerd -------------------------------------------------------------------------------

    def _containerd(self) -> Iterator[Container]:
        tasks = f"{self._containerd_dirs['state']}/io.containerd.runtime.v2.task"
        for namespace in self._files.names(tasks):
            for identifier in self._files.names(f"{tasks}/{namespace}"):
                bundle = f"{tasks}/{namespace}/{identifier}"
                spec = oci.parse(self._read(f"{bundle}/config.json"))
                if spec is not None:
                    yield self._task(namespace, identifier, spec, bundle)

    def _task(self, namespace: str, identifier: str, spec: oci.Spec, bundle: str) -> Container:
        common = self._common(spec, f"{bundle}/init.pid", bundle)
        notes = spec.annotations
        pod = notes.get(f"{_CRI}sandbox-id", "")
        if pod:
            kind = "sandbox" if pod == identifier else "container"
            return Container(
                runtime="cri",
                id=identifier,
                name=notes.get(f"{_CRI}{kind}-name", identifier[:12]),
                attachment_id=pod,
                namespace=namespace,
                pod_namespace=notes.get(f"{_CRI}sandbox-namespace", ""),
                **common,
            )
        name = notes.get("nerdctl/name", "")
        return Container(
            runtime="nerdctl" if "nerdctl/namespace" in notes else "ctr",
            id=identifier,
            name=name or (identifier[:12] if "nerdctl/namespace" in notes else identifier),
            attachment_id=f"{namespace}-{identifier}",
            namespace=namespace,
            **common,
        )

    def _nerdctl_stopped(self) -> Iterator[Container]:
        """Nerdctl's containers, of which those without a task are not known otherwise."""
        for identifier, (namespace, name) in nerdctl_names(self._host).items():
            yield Container(
                runtime="nerdctl",
                id=identifier,
                name=name,
                attachment_id=f"{namespace}-{identifier}",
                namespace=namespace,
            )

    def _cri_stopped(self) -> Iterator[Container]:
        """CRI's pods, of which those that were stopped have no task. Only their host name is known."""
        pods = f"{self._containerd_dirs['root']}/io.containerd.grpc.v1.cri/sandboxes"
        for identifier in self._files.names(pods):
            hostname = (self._read(f"{pods}/{identifier}/hostname") or b"").decode(errors="replace").strip()
            yield Container(
                runtime="cri",
                id=identifier,
                name=hostname or identifier[:12],
                attachment_id=identifier,
                namespace=_CRI_NAMESPACE,
            )

    @cached_property
    def _containerd_dirs(self) -> Mapping[str, str]:
        given = settings(self._read(_CONTAINERD_CONFIG) or b"", ("state", "root"))
        return {"state": "/run/containerd", "root": "/var/lib/containerd", **given}

    # --- podman -----------------------------------------------------------------------------------

    def _podman(self) -> Iterator[Container]:
        graph, run = self._podman_dirs
        for folder in (each for each in self._files.names(graph) if each.endswith("-containers")):
            listed = self._json(f"{graph}/{folder}/containers.json")
            for entry in map(as_mapping, as_list(listed)):
                if isinstance(entry.get("id"), str):
                    yield self._podmans(entry, f"{graph}/{folder}", f"{run}/{folder}")

    def _podmans(self, entry: Mapping[str, Any], graph: str, run: str) -> Container:
        identifier = str(entry["id"])
        bundle = f"{graph}/{identifier}/userdata"
        spec = oci.parse(self._read(f"{bundle}/config.json"))
        return Container(
            runtime="podman",
            id=identifier,
            name=str(next(iter(as_list(entry.get("names"))), identifier[:12])),
            attachment_id=identifier,
            **self._common(spec, f"{run}/{identifier}/userdata/pidfile", bundle),
        )

    @property
    def _podman_dirs(self) -> tuple[str, str]:
        """Podman's GRAPHROOT and RUNROOT (containers-storage.conf(5))."""
        text = next((each for each in map(self._read, _STORAGE_CONFIGS) if each is not None), b"")
        given = settings(text, ("graphroot", "runroot"), section="storage")
        graph = given.get("graphroot", "/var/lib/containers/storage")
        return graph, given.get("runroot", "/run/containers/storage")

    # --- network namespaces -----------------------------------------------------------------------

    def _named_namespaces(self) -> Iterator[Container]:
        for name in self._files.names(NETNS_DIR):
            if not name.startswith(_FOREIGN):
                yield self._namespace(f"{NETNS_DIR}/{name}")

    def _namespace(self, path: str) -> Container:
        """Raises NoSuchContainer if nothing is at the path."""
        identity = self._host.netns_identity(path)
        if not identity:
            raise NoSuchContainer(f"no network namespace at {path}", fix="ip netns list")
        name = path.rpartition("/")[2]
        return Container(
            runtime="netns",
            id=path,
            name=name,
            netns=path,
            netns_identity=identity,
            host_network=identity == self._own,
            resolver_files={
                each: f"/etc/netns/{name}/{each.rpartition('/')[2]}" for each in oci.RESOLVER_FILES
            },
        )

    def _in_namespace(self, path: str, word: str) -> Container | None:
        """The container whose network namespace is at a path, if there is one and it is not the host's."""
        identity = self._host.netns_identity(path)
        if not identity:
            raise NoSuchContainer(f"no such container: {word}: nothing is at {path}", fix="linkspan ps")
        if identity == self._own:
            return None
        # Who was started in the namespace of another has no attachments.
        found = sorted(self.all, key=lambda each: (each.shares_netns, not each.attachment_id))
        return next((each for each in found if each.netns_identity == identity), None)

    def _process(self, pid: int) -> Container:
        command = (self._read(f"/proc/{pid}/comm") or b"").decode(errors="replace").strip()
        netns = f"/proc/{pid}/ns/net"
        identity = self._host.netns_identity(netns)
        return Container(
            runtime="process",
            id=f"pid:{pid}",
            name=command or str(pid),
            pid=pid,
            netns=netns,
            netns_identity=identity,
            host_network=identity == self._own,
        )

    # --- what all have in common ------------------------------------------------------------------

    def _common(self, spec: oci.Spec | None, pid_file: str, bundle: str) -> dict[str, Any]:
        """The fields of a container with an OCI bundle; without a spec it was never started."""
        if spec is None:
            return {"bundle": bundle}
        pid = self._running(pid_file, spec)
        # A namespace with a name of its own outlives the process; a number in /proc may be another's by now.
        named = "" if spec.netns.startswith("/proc/") else spec.netns
        netns = f"/proc/{pid}/ns/net" if pid else named
        identity = self._host.netns_identity(netns) if netns else ""
        return {
            "pid": pid,
            "netns": netns if identity else "",
            "netns_identity": identity,
            "host_network": bool(pid) and identity == self._own,
            "shares_netns": spec.netns.startswith("/proc/"),
            "labels": spec.annotations,
            "bundle": bundle,
            "resolver_files": spec.resolver_files,
        }

    def _running(self, pid_file: str, spec: oci.Spec) -> int:
        """The number of the container's first process, 0 if it has ended."""
        text = (self._read(pid_file) or b"").strip()
        if not text.isdigit():
            return 0
        groups = self._read(f"/proc/{int(text)}/cgroup")
        if groups is None or not spec.is_in_control_group(groups.decode(errors="replace")):
            return 0
        # A process that has ended and that nobody has waited for has no namespaces.
        return int(text) if self._host.netns_identity(f"/proc/{int(text)}/ns/net") else 0

    @cached_property
    def _own(self) -> str:
        return self._host.netns_identity(OWN_NETNS)

    def _readable(self, read: Callable[[], Iterator[Container]]) -> Iterator[Container]:
        """Do without what only root can read. Any other error is raised."""
        try:
            yield from read()
        except CniError as error:
            if not isinstance(error.__cause__, PermissionError):
                raise
            self.incomplete = "containers are shown to root only"

    def _read(self, path: str) -> bytes | None:
        """A file; None if it is gone, also while it is read (ESRCH of /proc)."""
        try:
            return self._files.read(path)
        except IoFailure as error:
            if isinstance(error.__cause__, ProcessLookupError):
                return None
            raise

    def _json(self, path: str) -> object:
        with suppress(ValueError):
            return parse_json(self._read(path) or b"null")
        return None


def nerdctl_names(host: Host) -> dict[str, tuple[str, str]]:
    """The containers in nerdctl's store: ID -> containerd namespace and name."""
    files, found = host.files, {}
    data_root = settings(files.read(_NERDCTL_CONFIG) or b"", ("data_root",)).get("data_root", NERDCTL_DIR)
    for store in files.names(data_root):
        for namespace in files.names(f"{data_root}/{store}/names"):
            folder = f"{data_root}/{store}/names/{namespace}"
            for name in files.names(folder):
                identifier = (files.read(f"{folder}/{name}") or b"").decode(errors="replace").strip()
                found[identifier] = (namespace, name)
    return found


def settings(text: bytes, keys: tuple[str, ...], section: str = "") -> dict[str, str]:
    """The values of keys of a TOML file that are strings, in a section, or before the first."""
    found, here = {}, ""
    for line in text.decode(errors="replace").splitlines():
        header = re.match(r"\s*\[+([^\]]*)\]+", line)
        if header:
            here = header[1].strip()
        pair = re.match(r"""\s*(\w+)\s*=\s*["']([^"']+)["']""", line)
        if pair and here == section and pair[1] in keys:
            found[pair[1]] = pair[2]
    return found
