"""What dns changes on the host: a record, rules for port 53, and what the name server answers."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cni_dns import rules_iptables
from cni_dns.server import client
from cni_dns.server.zone import Entry
from linkspan.call.transaction import attempt, best_effort, keep
from linkspan.cni.addresses import by_family
from linkspan.netfilter.nft_table import dns_elements
from linkspan.steps.extras import optional
from linkspan.steps.forwarding import AcceptDespitePolicy
from linkspan.steps.nft_table import exempt_dns, missing_elements, missing_rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni_dns.server.client import Server
    from linkspan.call.restoring import Part
    from linkspan.call.transaction import Undo
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True)
class WriteEntry:
    """Record the names where the name server reads them. It is started if there is none."""

    entry: Entry

    def do(self, host: Host) -> Undo:
        with closing(client.reach_or_start(host)) as server:
            records = server.place.records
        attachment, record = self.entry.attachment, self.entry.record()
        return attempt(host, lambda: records.write(attachment, record), lambda: records.remove(attachment))


@dataclass(frozen=True, slots=True)
class ReservePort:
    """Keep port 53 of the gateways from being published by a container. Shared: never undone."""

    gateways: tuple[str, ...]

    def do(self, host: Host) -> Undo:
        exempt_dns(host, self.gateways)
        return keep

    def missing(self, host: Host) -> list[str]:
        """The rules that are not there, as sentences; none are needed without nftables."""
        expected = dns_elements(self.gateways)
        if not expected or not host.nftables.usable():
            return []
        return [*missing_rules(host), *missing_elements(host, expected)]


@dataclass(frozen=True, slots=True)
class ServeNames:
    """Have the name server answer for the names; it does when this returns."""

    entry: Entry

    def do(self, host: Host) -> Undo:
        return attempt(host, partial(self._register, host), partial(self._withdraw, host))

    def missing(self, host: Host) -> list[str]:
        """Whether the name server does not know the names, as a sentence."""
        with client.running(host) as (server, _):
            known = server is not None and self.entry.record() in server.list()["records"]
        return [] if known else [f"the name server does not know {self.entry.attachment}"]

    def _register(self, host: Host) -> None:
        with closing(client.reach_or_start(host)) as server:
            server.register(self.entry.record())

    def _withdraw(self, host: Host) -> None:
        with client.running(host) as (server, _):
            if server is not None:
                server.unregister(self.entry.attachment)


def accept_queries(bridge: str, gateways: tuple[str, ...]) -> AcceptDespitePolicy:
    """The step that accepts what a bridge ("": any interface) brings for port 53 of these gateways."""
    changes = {family: rules_iptables.rules(bridge, own) for family, own in by_family(gateways).items()}
    return AcceptDespitePolicy(
        "INPUT", changes, f"DNS queries to {', '.join(gateways)} port 53 may be dropped"
    )


def forget(host: Host, attachments: Collection[Attachment]) -> None:
    """Remove the records of attachments, then have the name server answer for them no longer.

    A server that starts meanwhile does not load their names. A server that does not reply is a warning:
    without a record, names end with their link at the latest.
    """
    with client.running(host) as (server, records):
        unregister = partial(_unregister, server, attachments)
        best_effort(
            *(partial(records.remove, each) for each in attachments),
            partial(optional, host, "names may be answered until the name server is restarted", unregister),
        )


def _unregister(server: Server | None, attachments: Collection[Attachment]) -> None:
    if server is not None:
        for attachment in attachments:
            server.unregister(attachment)


def parts(entry: Entry, *, rules_only: bool) -> Iterator[Part]:
    """What makes up the names of an attachment: rules for port 53 of its gateways, and that they are
    answered.
    """
    yield ReservePort(entry.listen)
    yield accept_queries(entry.bridge, entry.listen)
    if not rules_only:
        yield ServeNames(entry)
