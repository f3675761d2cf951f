"""The dns plugin's name server without sockets: the registry itself, told what a server would be told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from typing import Any
from unittest.mock import patch

from cni_dns import message
from cni_dns.client import Place
from cni_dns.registry import Entry, Registry
from cni_dns.resolver import ours
from linkspan.cni.model import Attachment
from linkspan.host.contract import Host


class NameServer:
    """What the plugin sees of the server, on a host in memory. The truth is in the records, as with the real one."""

    def __init__(self, host: Host) -> None:
        self.place = Place(host.files, host.state_dir)
        self.registry = Registry()
        for _, record in self.place.records.all():
            self.registry.put(Entry.from_record(record))

    def register(self, record: Mapping[str, Any]) -> None:
        """As client.Server."""
        for evicted in self.registry.put(Entry.from_record(record)):
            self.place.records.remove(evicted.attachment)

    def unregister(self, attachment: Attachment) -> None:
        """As client.Server."""
        self.registry.remove(attachment)

    def list(self) -> dict[str, Any]:
        """As client.Server."""
        return {"records": [each.record() for each in self.registry.entries.values()], "listening": []}

    def ping(self) -> dict[str, Any]:
        """As client.Server."""
        return {"pid": 1, "listening": []}

    def close(self) -> None:
        """As client.Server."""

    def answers(self, server: str, name: str) -> frozenset[str]:
        """As client.answers, for an asker in the first network that listens there."""
        view = self.registry.view(server, server)
        if view is None:
            return frozenset()
        found = set()
        for kind, size in ((message.A, 4), (message.AAAA, 16)):
            answer = ours(view, message.wire_name(name), kind)
            if answer is not None and answer.count:
                found |= {str(ip_address(turn[-size:])) for turn in answer.turns}
        return frozenset(found)


@contextmanager
def serve_names_of(host: Host) -> Iterator[None]:
    """Let the dns plugin find this server, all gateways local, and port 53 free."""
    made: list[NameServer] = []

    def reach(_: Host) -> NameServer:
        made[:] = made or [NameServer(host)]
        return made[0]

    with ExitStack() as stack:
        for target, replaced in (
            ("cni_dns.client.reach", reach),
            ("cni_dns.client.reach_or_start", reach),
            ("cni_dns.client.answers", lambda server, name: reach(host).answers(server, name)),
            ("cni_dns.verbs.is_local", lambda address: True),
            ("cni_dns.verbs.holder_of_all", lambda port: ""),
        ):
            stack.enter_context(patch(target, replaced))
        yield
