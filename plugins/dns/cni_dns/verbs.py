"""The verbs of the dns plugin."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, closing, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from cni_dns.config import Config
from cni_dns.names import bundle_config, bundle_name, qualified
from cni_dns.plan import entry_for, gateways, previous
from cni_dns.questions import permit_questions
from cni_dns.result import result_of
from cni_dns.server import client
from cni_dns.server.listen import is_local, owner, owner_everywhere
from cni_dns.server.zone import Entry
from cni_dns.steps import Announce, KeepPort, KeepRecord
from linkspan import paths
from linkspan.call.plugin import Plugin
from linkspan.call.transaction import Transaction, best_effort
from linkspan.cni.errors import AttachmentWrong, CniError, NotReady, NotReadyDegraded
from linkspan.steps.nft_table import exempt_dns

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment, Request, Result
    from linkspan.host.contract import Host


def add(request: Request, host: Host, transaction: Transaction) -> Result:
    """Have the container's names answered. Raises InvalidConfig, PortTaken, IoFailure, TryAgain."""
    config = Config.from_request(request)
    entry = _entry(request, config, host)
    with closing(client.reach_or_start(host)) as server:
        permit = permit_questions(entry.bridge, entry.listen)
        transaction.do(KeepRecord(entry, server), KeepPort(entry), permit, Announce(entry, server))
    return result_of(previous(request), entry, config)


def delete(request: Request, host: Host) -> None:
    """Have the attachment's names answered no longer; fine when they never were, or no server runs."""
    _forget(host, (request.attachment,))


def check(request: Request, host: Host) -> None:
    """Raise AttachmentWrong unless the names are recorded and the server, started if need be, answers for them."""
    wanted = _entry(request, Config.from_request(request), host)
    entry = _recorded(host, request.attachment)
    if entry is None:
        raise AttachmentWrong(f"no names are recorded for {request.attachment}", "detach and attach it again")
    _compare(entry, wanted)
    closed = permit_questions(entry.bridge, entry.listen).missing(host)
    if closed:
        raise AttachmentWrong(
            closed[0][:120], "; ".join(closed[1:]) or "`linkspan reload` builds the rules again"
        )
    with closing(client.reach_or_start(host)) as server:
        _ask(entry, server)


def _recorded(host: Host, attachment: Attachment) -> Entry | None:
    """What ADD wrote down; a record that makes no sense counts as none."""
    with _running(host) as server:
        place = server.place if server else client.Place(host.files, host.state_dir)
        record = place.records.read(attachment)
    try:
        return None if record is None else Entry.from_record(record)
    except (KeyError, TypeError, ValueError):
        return None


def _compare(entry: Entry, wanted: Entry) -> None:
    if set(entry.ips) != set(wanted.ips):
        raise AttachmentWrong(
            f"{entry.attachment} is recorded with {', '.join(entry.ips) or 'no address'}",
            f"the attachment has {', '.join(wanted.ips) or 'none'}",
        )
    lost = set(entry.listen) - set(wanted.listen)
    if lost:
        raise AttachmentWrong(
            f"the gateway {sorted(lost)[0]} is no address of this host any more", "the bridge has lost it"
        )


def _ask(entry: Entry, server: client.Server) -> None:
    """Ask as a client would, at every gateway; where there is none, ask the server whether it has the record."""
    name = qualified(entry.names[0], entry.domains[:1])[-1] if entry.names else ""
    for gateway in entry.listen:
        missing = set(entry.ips) - client.answers(gateway, name)
        if name and missing:
            raise AttachmentWrong(
                f"the name server at {gateway} does not give {sorted(missing)[0]} for {name}",
                "is UDP port 53 of the gateway filtered?",
            )
    if entry.record() not in server.list()["records"]:
        raise AttachmentWrong(f"the name server does not know {entry.attachment}", "see its dns.log")


def gc(request: Request, host: Host) -> None:
    """Forget the names of this network's attachments that are not among the valid ones."""
    if request.valid_attachments is None:
        return
    with _running(host) as server:
        place = server.place if server else client.Place(host.files, host.state_dir)
        stale = tuple(attachment for attachment, _ in place.records.stale(request))
    _forget(host, stale)


def status(request: Request, host: Host) -> None:
    """Raise NotReady when no name could be served now, NotReadyDegraded when names exist that are not served."""
    Config.from_request(request)
    if find_spec("dns") is None:
        raise NotReady("dnspython is not installed; names cannot be served", "install dnspython")
    with _running(host) as server:
        place = server.place if server else client.Place(host.files, host.state_dir)
        records = [record for _, record in place.records.all()]
    if records:
        _see_that_all_are_served(host, records)
    elif server is None:
        _see_that_one_could_serve()


def _see_that_all_are_served(host: Host, records: list[dict[str, Any]]) -> None:
    """Start the server if need be, and see that it listens wherever names are to be answered."""
    try:
        with closing(client.reach_or_start(host)) as server:
            listening = server.ping()["listening"]
    except CniError as error:
        raise NotReadyDegraded(f"names exist and are not served: {error.msg}", error.details) from None
    deaf = sorted({address for record in records for address in record.get("listen", ())} - set(listening))
    if deaf:
        raise NotReadyDegraded(
            f"names exist and are not served: nobody of ours listens on {deaf[0]} port 53",
            f"{owner(deaf[0])} may have it; see {paths.log(host.state_dir, paths.NAME_SERVER)}",
        )


def _see_that_one_could_serve() -> None:
    other = owner_everywhere()
    if other:
        raise NotReady(
            f"port 53 of all addresses is taken by {other}; names cannot be served",
            "keep that program off the gateways of container networks",
        )


def reload(host: Host) -> None:
    """Keep port 53 of every gateway in use for us again, and open to its containers, whatever flushed the rules."""
    with _running(host) as server:
        if server is None:
            return
        known = server.list()
    asked = {(each["bridge"], tuple(each["listen"])) for each in known["records"]}
    exempt_dns(host, known["listening"])
    for bridge, listen in sorted(asked):
        permit_questions(bridge, listen).do(host)


def _entry(request: Request, config: Config, host: Host) -> Entry:
    path = bundle_config(request.container_id)
    bundle = bundle_name(host.files.read(path)) if path else ""
    local = frozenset(each for each in gateways(request) if is_local(each))
    return entry_for(request, config, bundle, local)


def _running(host: Host) -> AbstractContextManager[client.Server | None]:
    """The server if one runs, hung up at the end."""
    server = client.reach(host)
    return closing(server) if server is not None else nullcontext()


def _forget(host: Host, attachments: tuple[Attachment, ...]) -> None:
    """Remove records and tell the server; the files first, so that a server that starts now does not load them."""
    with _running(host) as server:
        place = server.place if server else client.Place(host.files, host.state_dir)
        for attachment in attachments:
            best_effort(lambda key=attachment: place.records.remove(key))  # type: ignore[misc]
            if server is not None:
                server.unregister(attachment)


PLUGIN = Plugin(
    type="dns",
    schema=os.path.join(os.path.dirname(__file__), "schema.json"),
    add=add,
    delete=delete,
    check=check,
    gc=gc,
    status=status,
    chained=True,
    reload=reload,
)
