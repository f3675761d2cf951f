"""What CHECK and STATUS find wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from importlib.util import find_spec
from typing import TYPE_CHECKING

from cni_dns.facts import read_entries, read_entry, read_facts
from cni_dns.plan import entry_for
from cni_dns.server import client
from cni_dns.server.listen import owner, owner_everywhere
from cni_dns.server.names import qualified
from cni_dns.steps import accept_queries
from linkspan import paths
from linkspan.cni.errors import CniError, NotReady, NotReadyDegraded

if TYPE_CHECKING:
    from cni_dns.config import Config
    from cni_dns.server.zone import Entry
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host


def problems(request: Request, config: Config, host: Host) -> list[str]:
    """Names that are not recorded, reachable or answered. The server is started if there is none."""
    expected = entry_for(request, config, read_facts(request, config, host))
    entry = read_entry(request.attachment, host)
    if entry is None:
        return [f"no names are recorded for {request.attachment}"]
    differences = list(_differences(entry, expected))
    if differences:
        return differences
    return accept_queries(entry.bridge, entry.listen).missing(host) or list(_unanswered(entry, host))


def _differences(entry: Entry, expected: Entry) -> Iterator[str]:
    if set(entry.ips) != set(expected.ips):
        yield (
            f"the record of {entry.attachment} has {', '.join(entry.ips) or 'no address'}, "
            f"prevResult has {', '.join(expected.ips) or 'none'}"
        )
    for gateway in sorted(set(entry.listen) - set(expected.listen)):
        yield f"this host no longer has the gateway address {gateway}"


def _unanswered(entry: Entry, host: Host) -> Iterator[str]:
    """Ask as a client does, at every gateway, then ask the server whether it has the record."""
    name = qualified(entry.names[0], entry.domains[:1])[-1] if entry.names else ""
    with closing(client.reach_or_start(host)) as server:
        for gateway in entry.listen if name else ():
            for ip in sorted(set(entry.ips) - client.answers(gateway, name)):
                yield f"the name server at {gateway} does not answer {name} with {ip}: check UDP port 53"
        if entry.record() not in server.list()["records"]:
            yield f"the name server does not know {entry.attachment}"


def refuse_unready(host: Host) -> None:
    """Raise NotReady if no name could be served now, NotReadyDegraded if some names are not served."""
    if find_spec("dns") is None:
        raise NotReady(
            "dnspython is not installed; names cannot be served", "install the Python package dnspython"
        )
    entries = read_entries(host)
    if entries:
        _refuse_unserved(entries, host)
        return
    with client.running(host) as (server, _):
        other = "" if server else owner_everywhere()
    if other:
        raise NotReady(
            f"port 53 of all addresses is taken by {other}; names cannot be served",
            "keep that program off the gateways of container networks",
        )


def _refuse_unserved(entries: Iterable[Entry], host: Host) -> None:
    """Start the server if need be, and require that it listens wherever names are to be answered."""
    try:
        with closing(client.reach_or_start(host)) as server:
            listening = server.ping()["listening"]
    except CniError as error:
        raise NotReadyDegraded(f"names are not served: {error.msg}", error.details) from None
    for gateway in sorted({each for entry in entries for each in entry.listen} - set(listening)):
        raise NotReadyDegraded(
            f"names are not served: the name server does not listen on {gateway} port 53",
            f"it may be in use by {owner(gateway)}; see {paths.log(host.state_dir, paths.NAME_SERVER)}",
        )
