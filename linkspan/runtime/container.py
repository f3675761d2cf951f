"""A container, and which one a word means. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from linkspan.runtime import names
from linkspan.runtime.errors import AmbiguousContainer, NoSuchContainer

State = Literal["running", "stopped"]

_SHORT, _LONG = 12, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container of any runtime, a pod of CRI, a named network namespace, or a process that is in one.

    * `runtime` is "nerdctl", "ctr", "cri", "podman", "netns", "process" or, if it cannot be told, "".
    * `id` is what its runtime shows, `attachment_id` the container ID by which plugins are called for it: for
      a container in a pod the pod's, "" for a process.
    * `namespace` is containerd's; `pod_namespace` that of a pod.
    * `pid` is its first process; 0 if it is stopped, or has none.
    * `netns` is the path of its network namespace, "" if it has none now; `netns_identity` tells that
      namespace from others that exist now. `host_network`: whether it is the host's own.
      `shares_netns`: whether it was started in the network namespace of another container.
    * `labels` are the annotations of its bundle. `resolver_files`: see `oci.Spec`.
    """

    runtime: str
    id: str
    name: str
    attachment_id: str = ""
    namespace: str = ""
    pod_namespace: str = ""
    pid: int = 0
    netns: str = ""
    netns_identity: str = ""
    host_network: bool = False
    shares_netns: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    bundle: str = ""
    resolver_files: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> State:
        """Whether it runs. A network namespace does as long as it exists."""
        return "running" if self.pid or self.runtime == "netns" else "stopped"

    @property
    def short_id(self) -> str:
        """The ID as tables show it: the first twelve of 64 hexadecimal digits, a name whole."""
        return self.id[:_SHORT] if len(self.id) == _LONG else self.id

    @property
    def is_pod(self) -> bool:
        """Whether it is what plugins are called for: not a container inside a pod."""
        return self.runtime != "cri" or self.id == self.attachment_id

    @property
    def cni_id(self) -> str:
        """The container ID by which plugins are to be called for it: for a named namespace cnitool's."""
        if self.runtime != "netns":
            return self.attachment_id
        from hashlib import sha512

        return f"cnitool-{sha512(self.netns.encode()).hexdigest()[:20]}"

    @property
    def started_by(self) -> str:
        """The command that starts it, "" if none does."""
        commands = {
            "nerdctl": f"nerdctl --namespace {self.namespace} start {self.name}",
            "podman": f"podman start {self.name}",
            "ctr": f"ctr --namespace {self.namespace} task start {self.name}",
        }
        return commands.get(self.runtime, "")

    @property
    def qualifiers(self) -> tuple[str, ...]:
        """What may stand before its name, parted by a slash."""
        return tuple(each for each in (self.namespace, self.pod_namespace, self.runtime) if each)


def find(word: str, containers: Sequence[Container]) -> Container:
    """The container of a name, an ID or the beginning of one, alone or after QUALIFIER/.

    A pod and the containers in it are the same to the network, so of these the pod is meant. Raises
    NoSuchContainer, AmbiguousContainer.
    """
    found = matching(word, containers)
    if not found:
        raise _none(word, containers)
    if len(found) > 1:
        raise AmbiguousContainer(
            f"container {word} is ambiguous ({len(found)} matches found)",
            by=[described(each) for each in found],
            fix="say " + " or ".join(shortest_word(each, containers) for each in found),
        )
    return found[0]


def matching(word: str, containers: Iterable[Container]) -> list[Container]:
    """The containers that a word may mean; those of one attachment count as one."""
    qualifier, slash, rest = word.rpartition("/")
    known = [each for each in containers if not slash or qualifier in each.qualifiers]
    exact = [each for each in known if rest in (each.name, each.id)]
    return _distinct(exact or [each for each in known if rest and each.id.startswith(rest)])


def shortest_word(one: Container, containers: Sequence[Container]) -> str:
    """A word that means only this container."""
    candidates = (one.name, *(f"{each}/{one.name}" for each in one.qualifiers), one.short_id)
    return next((each for each in candidates if len(matching(each, containers)) == 1), one.id)


def described(one: Container) -> str:
    """A container in an error: `nerdctl container web (default, 1f0c0ffee123)`."""
    where = ", ".join(each for each in (one.namespace, one.pod_namespace, one.short_id) if each)
    kind = "pod" if one.runtime == "cri" and one.is_pod else "container"
    return f"{one.runtime} {kind} {one.name} ({where})"


def _distinct(found: Iterable[Container]) -> list[Container]:
    """One container for each attachment ID: of a pod and its containers, the pod."""
    kept: dict[str, Container] = {}
    for each in sorted(found, key=lambda each: not each.is_pod):
        kept.setdefault(each.attachment_id or each.id, each)
    return list(kept.values())


def _none(word: str, containers: Iterable[Container]) -> NoSuchContainer:
    close = names.similar(word, (each.name for each in containers))
    return NoSuchContainer(
        f"no such container: {word}",
        fix=f"did you mean {' or '.join(close)}?" if close else "linkspan ps --all",
    )
