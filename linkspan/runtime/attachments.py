"""The containers that are attached to networks, as records, libcni's cache and nerdctl's store tell.
Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from linkspan.cni.errors import IoFailure
from linkspan.cni.json_value import parse_json
from linkspan.runtime.cache import CACHE_DIR
from linkspan.runtime.endpoints import Endpoint, from_cache, from_record, merged
from linkspan.runtime.lists import InvalidList, NetworkList, parse
from linkspan.runtime.owners import Owner, owner_of

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host
    from linkspan.runtime.network import Network

#: nerdctl's store of names: HASH/names/NAMESPACE/NAME holds the ID.
NERDCTL_DIR = "/var/lib/nerdctl"


class Attachments:
    """The attached containers of the host, read when first asked for."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._found: tuple[tuple[Endpoint, Owner], ...] | None = None
        #: Why containers are missing: who is not root cannot read the state of plugins and libcni. "" if they
        #: are complete.
        self.incomplete = ""

    def all(self) -> tuple[tuple[Endpoint, Owner], ...]:
        """Every endpoint that exists, with its container."""
        if self._found is None:
            nerdctl_names = _nerdctl_names(self._host)
            endpoints = merged(self._recorded(), self._cached(lambda _: True))
            warnings = self._warnings()
            self._found = tuple(
                (replace(each, warnings=warnings.get(each.attachment, ())), owner_of(each, nerdctl_names))
                for each in self._existing(endpoints)
            )
        return self._found

    def of(self, network: Network) -> tuple[tuple[Endpoint, Owner], ...]:
        """Those of one network. Two lists may share a name; then their bridges tell them apart."""
        return tuple(
            (endpoint, owner)
            for endpoint, owner in self.all()
            if endpoint.attachment.network == network.name
            and (not network.bridge or endpoint.bridge in ("", network.bridge))
        )

    def uses(self, network: Network) -> bool:
        """Whether a container is attached to the network."""
        return bool(self.of(network))

    def lists_without_file(self, known: Collection[str]) -> tuple[NetworkList, ...]:
        """The lists of networks other than `known` that containers are attached to: only libcni's cache has
        them.

        The file was removed, or there never was one, as for podman's default network.
        """
        prefixes = tuple(f"{each}-" for each in known)
        found = {}
        for each in self._existing(self._cached(lambda name: not name.startswith(prefixes))):
            with suppress(InvalidList):
                one = parse(each.list_text, "")
                if one.name not in known:
                    found[one.name] = one
        return tuple(found.values())

    def _existing(self, endpoints: Iterable[Endpoint]) -> Iterator[Endpoint]:
        return (each for each in endpoints if each.exists(self._links, self._host.files.exists))

    @cached_property
    def _links(self) -> frozenset[str]:
        return frozenset(each.name for each in self._host.links().all())

    def _recorded(self) -> Iterator[Endpoint]:
        from linkspan.call.records import Records

        with self._tolerating_missing_rights():
            for attachment, record in Records(self._host, "bridge").all():
                yield from_record(attachment, record)

    def _warnings(self) -> Mapping[Attachment, tuple[str, ...]]:
        from linkspan.call.kept_warnings import kept

        with self._tolerating_missing_rights():
            return kept(self._host)
        return {}

    def _cached(self, chosen: Callable[[str], bool]) -> Iterator[Endpoint]:
        """What libcni's cache has, of the files whose names are chosen."""
        with self._tolerating_missing_rights():
            for name in filter(chosen, self._host.files.names(CACHE_DIR)):
                endpoint = from_cache(_json(self._host, f"{CACHE_DIR}/{name}"))
                if endpoint is not None:
                    yield endpoint

    @contextmanager
    def _tolerating_missing_rights(self) -> Iterator[None]:
        """Do without what only root can read. Any other error is raised."""
        try:
            yield
        except IoFailure as error:
            if not isinstance(error.__cause__, PermissionError):
                raise
            self.incomplete = "containers are shown to root only"


def _json(host: Host, path: str) -> object:
    """The JSON in a file; None for anything else."""
    try:
        return parse_json(host.files.read(path) or b"null")
    except ValueError:
        return None


def _nerdctl_names(host: Host) -> dict[str, str]:
    """The containers in nerdctl's store: ID -> name."""
    files, found = host.files, {}
    with suppress(IoFailure):
        for store in files.names(NERDCTL_DIR):
            for namespace in files.names(f"{NERDCTL_DIR}/{store}/names"):
                folder = f"{NERDCTL_DIR}/{store}/names/{namespace}"
                for name in files.names(folder):
                    found[(files.read(f"{folder}/{name}") or b"").decode(errors="replace").strip()] = name
    return found
