"""What the plugin does to the host: a record, and a word to the name server."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cni_dns.server import client
from linkspan.call.transaction import attempt, keep
from linkspan.steps.nft_table import exempt_dns

if TYPE_CHECKING:
    from cni_dns.server.client import Server
    from cni_dns.server.zone import Entry
    from linkspan.call.transaction import Undo
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True)
class KeepRecord:
    """Write down who has which names, where the server reads it when it starts."""

    entry: Entry
    server: Server = field(repr=False)

    def do(self, host: Host) -> Undo:
        records, attachment = self.server.place.records, self.entry.attachment
        record = self.entry.record()
        return attempt(host, lambda: records.write(attachment, record), lambda: records.remove(attachment))


@dataclass(frozen=True, slots=True)
class KeepPort:
    """Keep port 53 of the gateways for us, whoever publishes it. Shared with the network: never undone."""

    entry: Entry

    def do(self, host: Host) -> Undo:
        exempt_dns(host, self.entry.listen)
        return keep


@dataclass(frozen=True, slots=True)
class Announce:
    """Have the server answer for the names; it does when this returns."""

    entry: Entry
    server: Server = field(repr=False)

    def do(self, host: Host) -> Undo:
        self.server.register(self.entry.record())
        return lambda: self._withdraw(host)

    def _withdraw(self, host: Host) -> None:
        """Over a connection of its own: the verb's is closed by the time that a call is undone."""
        server = client.reach(host)
        if server is not None:
            with closing(server):
                server.unregister(self.entry.attachment)
