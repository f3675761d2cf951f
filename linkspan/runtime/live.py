"""What of the host a network depends on: attached containers, and the addresses, links and routes
that a subnet must avoid. Reads only.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_interface, ip_network
from typing import TYPE_CHECKING

from linkspan.cni.errors import IoFailure
from linkspan.cni.json_value import parse_json
from linkspan.runtime.endpoints import Endpoint, from_cache, from_record, merged
from linkspan.runtime.lists import InvalidList, NetworkList, parse
from linkspan.runtime.owners import Owner, owner_of
from linkspan.runtime.pools import Used

if TYPE_CHECKING:
    from linkspan.host.contract import Host, KernelRoute, Links
    from linkspan.runtime.network import Network

#: libcni's cache of results (libcni, api.go: CacheDir), and nerdctl's store of names:
#: HASH/names/NAMESPACE/NAME holds the ID.
CACHE_DIR = "/var/lib/cni/results"
NERDCTL_DIR = "/var/lib/nerdctl"
RESOLV_CONF, MACHINE_ID = "/etc/resolv.conf", "/etc/machine-id"
#: The MTU of a link that is not told otherwise.
ETHERNET_MTU = 1500


class Attachments:
    """The attached containers of the host, read when first asked for."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._found: tuple[tuple[Endpoint, Owner], ...] | None = None
        #: Why containers are missing: who is not root cannot read the state of plugins and libcni. "" if they
        #: are complete.
        self.hidden = ""

    def all(self) -> tuple[tuple[Endpoint, Owner], ...]:
        """Every endpoint that exists, with its container."""
        if self._found is None:
            nerdctl_names = _nerdctl_names(self._host)
            endpoints = merged(self._recorded(), self._cached(lambda _: True))
            self._found = tuple((each, owner_of(each, nerdctl_names)) for each in self._existing(endpoints))
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
        links = {each.name for each in self._host.links().all()}
        return (each for each in endpoints if each.exists(links, self._host.files.exists))

    def _recorded(self) -> Iterator[Endpoint]:
        from linkspan.call.records import Records

        with self._hiding():
            for attachment, record in Records(self._host, "bridge").all():
                yield from_record(attachment, record)

    def _cached(self, chosen: Callable[[str], bool]) -> Iterator[Endpoint]:
        """What libcni's cache has, of the files whose names are chosen."""
        with self._hiding():
            for name in filter(chosen, self._host.files.names(CACHE_DIR)):
                endpoint = from_cache(_json(self._host, f"{CACHE_DIR}/{name}"))
                if endpoint is not None:
                    yield endpoint

    @contextmanager
    def _hiding(self) -> Iterator[None]:
        """Do without what only root can read. Any other failure is raised."""
        try:
            yield
        except IoFailure as error:
            if not isinstance(error.__cause__, PermissionError):
                raise
            self.hidden = "containers are shown to root only"


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


# --- what a subnet must avoid
# -----------------------------------------------------------------------------------------


def used_by_host(host: Host, *, except_link: str = "") -> Iterator[Used]:
    """The host's connected networks, next hops, routes and name servers; those of one link left out.
    Raises KernelRefused.
    """
    links, connected = host.links(), set()
    for link in links.all():
        # A bridge port has no addresses, and there is one for each container.
        for address in () if link.master or link.name in (except_link, "lo") else links.addresses(link.name):
            network = ip_interface(address).network
            connected.add((str(network), link.name))
            yield Used(network, f"link {link.name}")
    for family in (4, 6):
        for route in links.routes(family, table=0):
            if route.ifname != except_link and (route.dst, route.ifname) not in connected:
                yield from _of_route(route)
    for server in _name_servers(host):
        yield Used(ip_network(server), "name server in /etc/resolv.conf")


def _of_route(route: KernelRoute) -> Iterator[Used]:
    if route.gw:
        yield Used(ip_network(route.gw), f"next hop of the route to {route.dst}")
    destination = ip_network(route.dst, strict=False)
    if destination.prefixlen and not destination.is_link_local and not destination.is_multicast:
        yield Used(destination, f"route through {route.ifname or route.gw}", strict=False)


def _name_servers(host: Host) -> Iterator[str]:
    for line in (host.files.read(RESOLV_CONF) or b"").decode(errors="replace").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            with suppress(ValueError):
                yield str(ip_interface(words[1].partition("%")[0]).ip)


def default_mtu(links: Links) -> int:
    """The MTU of the link that the default route leaves through, the preferred route of IPv4 first; 0
    if there is none.
    """
    for family in (4, 6):
        routes = [each for each in links.routes(family) if each.dst.endswith("/0") and each.ifname]
        if routes:
            best = min(routes, key=lambda each: each.priority)
            link = links.get(best.ifname)
            if link is not None:
                return link.mtu
    return 0


def machine_id(host: Host) -> str:
    """What tells this machine from others (machine-id(5)); the host name where there is none."""
    text = (host.files.read(MACHINE_ID) or b"").decode(errors="replace").strip()
    return text or socket.gethostname()
