"""Network configuration lists as runtimes find them on disk. Pure.

libcni loads `.conflist` files, and `.conf` and `.json` files with a single plugin (SPEC 1.1.0, section 1;
libcni's conf.go). nerdctl, podman and linkspan keep what they need beyond the specification in keys of their
own, which libcni ignores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from linkspan.cni.json_value import parse_json

#: The extensions that libcni looks for.
EXTENSIONS = (".conf", ".conflist", ".json")
#: The keys of a list: nerdctl's identifier and labels, and our own object {created, options}.
ID, LABELS, OURS = "nerdctlID", "nerdctlLabels", "linkspan"
#: nerdctl's network where none is named, and the label that keeps nerdctl from creating it (nerdctl,
#: pkg/netutil).
DEFAULT_NAME, DEFAULT_LABEL = "bridge", "nerdctl/default-network"
#: What podman keeps in the list's `args` (podman 4, libnetwork/cni).
PODMAN_LABELS, PODMAN_OPTIONS = "podman_labels", "podman_options"
PODMAN_KEYS = frozenset({PODMAN_LABELS, PODMAN_OPTIONS})

#: Stands for an object that a document does not have.
EMPTY: Mapping[str, Any] = {}

Creator = Literal["linkspan", "nerdctl", "podman", "file", "cache"]


class InvalidList(Exception):
    """A file that is not a network configuration list; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkList:
    """A list and where it was found.

    `namespace` is the subdirectory of the configuration directory ("" for its root), which is a containerd
    namespace to nerdctl. `changed` is the file's modification time in ns since 1970. A list that only
    libcni's cache still has is its text without a `path`.
    """

    name: str
    document: Mapping[str, Any]
    path: str = ""
    namespace: str = ""
    changed: int = 0

    @property
    def plugins(self) -> tuple[Mapping[str, Any], ...]:
        """The plugins' configurations in order; what is not an object is left out."""
        return tuple(each for each in as_list(self.document.get("plugins")) if isinstance(each, Mapping))

    def plugin(self, *types: str) -> Mapping[str, Any]:
        """The configuration of the first plugin of one of these types, or an empty mapping."""
        return next((each for each in self.plugins if each.get("type") in types), EMPTY)

    @property
    def first(self) -> Mapping[str, Any]:
        """The configuration of the plugin that creates the interface."""
        return self.plugins[0] if self.plugins else EMPTY

    @property
    def creator(self) -> Creator:
        """Which program wrote the list. "file" means by hand, "cache" that there is no file."""
        if not self.path:
            return "cache"
        if isinstance(self.document.get(OURS), Mapping):
            return "linkspan"
        if isinstance(self.document.get(ID), str):
            return "nerdctl"
        return "podman" if _is_podmans(self) else "file"


def parse(data: bytes, path: str, *, namespace: str = "", changed: int = 0) -> NetworkList:
    """The list in a file. Raises InvalidList."""
    try:
        document = parse_json(data)
    except ValueError as error:
        raise InvalidList(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidList("not a JSON object")
    if "plugins" not in document:
        document = _as_list_of_one(document)
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidList("no network name")
    if not isinstance(document["plugins"], list) or not document["plugins"]:
        raise InvalidList("no plugins")
    return NetworkList(name=name, document=document, path=path, namespace=namespace, changed=changed)


def is_list_file(name: str) -> bool:
    """Whether libcni would load a file of this name."""
    return name.endswith(EXTENSIONS)


def as_list(value: object) -> list[Any]:
    """A JSON list, or an empty one for any other value."""
    return value if isinstance(value, list) else []


def as_mapping(value: object) -> Mapping[str, Any]:
    """A JSON object, or an empty one for any other value."""
    return value if isinstance(value, Mapping) else EMPTY


def strings_of(value: object) -> dict[str, str]:
    """The members of a JSON object whose values are strings."""
    return {key: each for key, each in as_mapping(value).items() if isinstance(each, str)}


def _as_list_of_one(document: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(document.get("type"), str):
        raise InvalidList("neither a list nor a plugin: no key plugins, no key type")
    kept: dict[str, Any] = {key: document[key] for key in ("cniVersion", "name") if key in document}
    return {**kept, "plugins": [document]}


def _is_podmans(one: NetworkList) -> bool:
    """Whether the bridge has podman's name (cni-podmanN), or args has podman's labels or options."""
    named = str(one.first.get("bridge", "")).startswith("cni-podman")
    return named or not PODMAN_KEYS.isdisjoint(as_mapping(one.document.get("args")))


def namespaced_file(name: str) -> str:
    """The file that nerdctl gives a network, in the subdirectory of its containerd namespace."""
    return f"nerdctl-{name}.conflist"


def shared_file(name: str, present: list[str]) -> str:
    """A file name in the root that is not the first, which CRI and ctr use, if another list is there."""
    candidates = (f"{number}-{name}.conflist" for number in range(50, 100))
    return _first_that(lambda each: not present or each > min(present), (*candidates, f"zz-{name}.conflist"))


def default_file(name: str, present: list[str]) -> str:
    """A file name that becomes the first of the root; "" if none of ours would."""
    candidates = (f"{number:02d}-{name}.conflist" for number in range(10, -1, -1))
    return _first_that(lambda each: not present or each < min(present), (*candidates, f"0-{name}.conflist"))


def _first_that(fits: Callable[[str], bool], candidates: tuple[str, ...]) -> str:
    return next((each for each in candidates if fits(each)), "")
