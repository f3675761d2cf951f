"""The containers that are attached to networks, as records, libcni's cache and nerdctl's store tell.
Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from linkspan import paths
from linkspan.cni.errors import IoFailure
from linkspan.cni.json_value import parse_json
from linkspan.cni.model import Attachment
from linkspan.runtime import names
from linkspan.runtime.attached import Attached, attached
from linkspan.runtime.cache import CACHE_DIR
from linkspan.runtime.containers import Containers, nerdctl_names
from linkspan.runtime.endpoints import Endpoint, from_cache, from_record, merged
from linkspan.runtime.lists import InvalidList, NetworkList, as_list, parse
from linkspan.runtime.owners import Owner, owner_of

if TYPE_CHECKING:
    from linkspan.host.contract import Host
    from linkspan.runtime.catalogue import Catalogue
    from linkspan.runtime.network import Network


class Attachments:
    """The attached containers of the host, read when first asked for."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.containers = Containers(host)
        self._incomplete = ""

    @property
    def incomplete(self) -> str:
        """Why containers are missing: who is not root cannot read the state of plugins, libcni and runtimes.

        "" if they are complete, of what has been asked for.
        """
        return self._incomplete or self.containers.incomplete

    def all(self) -> tuple[tuple[Endpoint, Owner], ...]:
        """Every endpoint that exists, with its container."""
        return tuple(each for each in self._every if self._exists(each[0]))

    def gone(self) -> tuple[tuple[Endpoint, Owner], ...]:
        """Every endpoint that existed, and whose container ended without a DEL."""
        return tuple(each for each in self._every if not self._exists(each[0]))

    @cached_property
    def _every(self) -> tuple[tuple[Endpoint, Owner], ...]:
        known, warnings = self._nerdctl_names(), self._warnings()
        endpoints = merged(self._recorded(), [*self._cached(lambda _: True), *self._connected()])
        return tuple(
            (replace(each, warnings=warnings.get(each.attachment, ())), owner_of(each, known))
            for each in endpoints
        )

    def with_containers(self) -> tuple[Attached, ...]:
        """Every endpoint with its container, and the containers that have none."""
        endpoints, names_of = self.all(), self._dns_names()
        return attached(endpoints, self.containers.all, names_of, complete=not self._incomplete)

    def of(self, network: Network) -> tuple[tuple[Endpoint, Owner], ...]:
        """Those of one network. Two lists may share a name; then their bridges tell them apart.

        Containers on `host` and `none`, which no plugin is called for, have endpoints without an interface.
        """
        if network.name in (names.HOST, names.NONE):
            return self._without_interface(network.name)
        return tuple(
            (endpoint, owner)
            for endpoint, owner in self.all()
            if endpoint.attachment.network == network.name
            and (not network.bridge or endpoint.bridge in ("", network.bridge))
        )

    def uses(self, network: Network) -> bool:
        """Whether a container is attached to the network."""
        return bool(self.of(network))

    def completed(self, catalogue: Catalogue) -> Catalogue:
        """A catalogue with the networks, too, that containers are attached to and whose lists are gone."""
        return catalogue.with_cached(self.lists_without_file({each.name for each in catalogue.all}))

    def lists_without_file(self, known: Collection[str]) -> tuple[NetworkList, ...]:
        """The lists of networks other than `known` that containers are attached to: only libcni's cache has
        them.

        The file was removed, or there never was one, as for podman's default network.
        """
        prefixes = tuple(f"{each}-" for each in known)
        found = {}
        for each in filter(self._exists, self._cached(lambda name: not name.startswith(prefixes))):
            with suppress(InvalidList):
                one = parse(each.list_text, "")
                if one.name not in known:
                    found[one.name] = one
        return tuple(found.values())

    def _without_interface(self, network: str) -> tuple[tuple[Endpoint, Owner], ...]:
        found = (each.container for each in self.with_containers() if each.network == network)
        return tuple(
            (
                Endpoint(attachment=Attachment(network, each.attachment_id or each.id, "")),
                Owner(id=each.id, name=each.name, runtime=each.runtime, namespace=each.namespace),
            )
            for each in found
        )

    def _dns_names(self) -> dict[Attachment, tuple[str, ...]]:
        """The names that the plugin dns has registered."""
        from linkspan.call.records import Records

        found: dict[Attachment, tuple[str, ...]] = {}
        with self._tolerating_missing_rights():
            for attachment, record in Records(self._host, "dns").all():
                found[attachment] = tuple(map(str, as_list(record.get("names"))))
        return found

    def _nerdctl_names(self) -> dict[str, str]:
        """The containers in nerdctl's store: ID -> name."""
        with suppress(IoFailure):
            return {identifier: name for identifier, (_, name) in nerdctl_names(self._host).items()}
        return {}

    def _exists(self, endpoint: Endpoint) -> bool:
        return endpoint.exists(self._links, self._host.files.exists)

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

    def _connected(self) -> Iterator[Endpoint]:
        """What `linkspan connect` has attached. A connection that is detached at the moment is none."""
        with self._tolerating_missing_rights():
            if not self._host.files.names(paths.connections()):
                return
            from linkspan.call import connections

            for each in connections.every(self._host.files):
                endpoint = from_cache(each.to_json())
                if endpoint is not None and each.boot == self._host.boot and self._exists(endpoint):
                    yield endpoint

    @contextmanager
    def _tolerating_missing_rights(self) -> Iterator[None]:
        """Do without what only root can read. Any other error is raised."""
        try:
            yield
        except IoFailure as error:
            if not isinstance(error.__cause__, PermissionError):
                raise
            self._incomplete = "containers are shown to root only"


def _json(host: Host, path: str) -> object:
    """The JSON in a file; None for anything else."""
    try:
        return parse_json(host.files.read(path) or b"null")
    except ValueError:
        return None
