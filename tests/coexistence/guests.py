"""Two containers of ours on a host that is not ours alone, and what their users can expect of it.

with Guests(host, "nftables") as guests:
    assert guests.lacking() == []       # everything a user expects works
    host.run(["iptables", "-F", "FORWARD"])
    assert guests.complaints() == []    # what CHECK says is missing
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.harness import ours
from tests.harness.chain import Attachment, Chain, ChainError
from tests.harness.privatehost import HOST_V4, OUTSIDE, OUTSIDE_V4, PrivateHost
from tests.harness.snapshot import Snapshot
from tests.harness.talk import ask, serve

PORT = 18080
"""The host's port that leads to port 80 of `web`."""

_ASK_NAME = (
    "import dns.message, dns.query, sys; "
    "print(dns.query.udp(dns.message.make_query('web.guests', 'A'), sys.argv[1], timeout=1).answer[0][0])"
)


def conflist(backend: str, *, firewall: bool = True, **portmap_keys: Any) -> dict[str, Any]:
    """The sample list with names, on one back end; with `firewall` in front of the names, which chooses its own."""
    listed = ours.conflist("custom")
    bridge, portmap, dns = listed["plugins"]
    bridge["ipMasqBackend"] = portmap["backend"] = backend
    portmap.update(portmap_keys)
    between = [{"type": "firewall"}] if firewall else []
    return {**listed, "cniVersion": "1.1.0", "name": "guests", "plugins": [bridge, portmap, *between, dns]}


@dataclass(frozen=True)
class _Guest:
    attachment: Attachment
    address: str


class Guests:
    """Containers `web`, which serves port 80 and publishes it, and `peer`; a server outside stands for the internet."""

    def __init__(
        self, host: PrivateHost, backend: str, *, firewall: bool = True, **portmap_keys: Any
    ) -> None:
        self.host = host
        listed = conflist(backend, firewall=firewall, **portmap_keys)
        self._chain = Chain(listed, ours.BIN, host=host, env=ours.STANDALONE)
        self._servers = ExitStack()
        self._there: list[_Guest] = []
        self._web = self._add("web", PORT)
        self._peer = self._add("peer")
        self._servers.enter_context(serve(host, "web", port=80))
        self._servers.enter_context(serve(host, OUTSIDE, port=80, name="world"))
        # The supervisor, which the name server has started, would restore what a test removes.
        ours.linkspan(host, "resident", "stop")

    def __enter__(self) -> Guests:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Detach both and end their servers; a second call does nothing."""
        self._servers.close()
        while self._there:
            guest = self._there.pop()
            self._chain.delete(guest.attachment)
            self.host.del_netns(guest.attachment.container_id)

    def lacking(self) -> list[str]:
        """What a user of the two containers expects and does not find, as words."""
        return [what for what, answers in self._expectations() if not answers]

    def complaints(self) -> list[str]:
        """What CHECK of every plugin says about `web`, as `plugin: message; details`."""
        found = []
        kept = self._chain.result(self._web.attachment)
        for plugin in self._chain.plugins:
            try:
                config = self._chain.config(plugin, self._web.attachment, kept)
                self._chain.call(plugin["type"], "CHECK", config, self._web.attachment)
            except ChainError as failure:
                error = failure.error
                found.append(f"{plugin['type']}: {error.get('msg')}; {error.get('details', '')}")
        return found

    def warnings(self) -> list[str]:
        """What the plugins have told on stderr so far."""
        return [call.stderr.strip() for call in self._chain.calls if call.stderr]

    def _add(self, name: str, port: int = 0) -> _Guest:
        mappings = [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}] if port else []
        netns = self.host.add_netns(name, loopback_up=True)
        attachment = Attachment(name, netns, capabilities={"portMappings": mappings})
        result = self._chain.add(attachment)
        self._there.append(_Guest(attachment, str(result["ips"][0]["address"]).partition("/")[0]))
        return self._there[-1]

    def _expectations(self) -> Iterator[tuple[str, bool]]:
        asks = (
            ("its neighbour", "peer", self._web.address, 80),
            ("the port from outside", OUTSIDE, HOST_V4, PORT),
            ("the port on 127.0.0.1", None, "127.0.0.1", PORT),
            ("the port from inside", "web", HOST_V4, PORT),
        )
        for what, netns, address, port in asks:
            yield what, str(ask(self.host, address, port, netns=netns, wait=0.5)).startswith("web ")
        said = ask(self.host, OUTSIDE_V4, 80, netns="web", wait=0.5)
        yield "the world, with the host's address", said == f"world {HOST_V4}"
        yield "names", self._name_of_web() == self._web.address

    def _name_of_web(self) -> str:
        gateway = self._web.address.rpartition(".")[0] + ".1"
        argv = [sys.executable, "-c", _ASK_NAME, gateway]
        return str(self.host.run(argv, netns="peer", check=False).stdout.strip())


def settle(host: PrivateHost, backend: str, **options: Any) -> None:
    """Have guests once, so that what a network makes once and keeps is there."""
    Guests(host, backend, **options).close()


def taken(now: Snapshot, before: Snapshot) -> list[str]:
    """The packet rules that stood on the host before and do not any more."""
    return [line for line in now.diff(before) if "tables: - " in line]
