"""The dns plugin's name server without sockets: the registry itself, told what a server would be told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from typing import Any
from unittest.mock import patch

from cni_dns.server import wire
from cni_dns.server.client import Place
from cni_dns.server.resolve import local_answer
from cni_dns.server.zone import Entry, Registry
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
        """As client.answers: the host asks."""
        listener = next((each for each in self.registry.listeners if each[1] == server), ("", ""))
        view = self.registry.view(listener, server)
        if view is None:
            return frozenset()
        found = set()
        for kind, size in ((wire.A, 4), (wire.AAAA, 16)):
            answer = local_answer(view, wire.wire_name(name), kind)
            if answer is not None and answer.count:
                found |= {str(ip_address(rotation[-size:])) for rotation in answer.rotations}
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
            ("cni_dns.server.client.reach", reach),
            ("cni_dns.server.client.reach_or_start", reach),
            ("cni_dns.server.client.answers", lambda server, name: reach(host).answers(server, name)),
            ("cni_dns.facts.is_local", lambda address: True),
            ("cni_dns.check.owner_everywhere", lambda: ""),
        ):
            stack.enter_context(patch(target, replaced))
        yield
