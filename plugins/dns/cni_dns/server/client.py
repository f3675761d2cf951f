"""How the plugin finds, starts and asks the name server of its network namespace."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from linkspan import paths
from linkspan.call.records import Records
from linkspan.cni.errors import IoFailure, TryAgain
from linkspan.daemon import control
from linkspan.daemon.service import Service

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Files, Host

SERVICE = Service(
    paths.NAME_SERVER, f"{os.path.dirname(__file__)}/__main__.py", role="dns", records=(paths.NAME_SERVER,)
)
#: Seconds until a server that was started must be there, and until a server must reply.
START, REPLY = 8.0, 5.0
#: Seconds between two attempts to reach it, and to start it.
_INTERVAL, _AGAIN = 0.005, 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server's files are: `state_dir` below its root, as seen from here."""

    files: Files
    state_dir: str

    @property
    def records(self) -> Records:
        """The records that the server reads."""
        return Records(self, "dns")


class Server:
    """A connection to the name server. One for each call of the plugin."""

    def __init__(self, client: control.Client, place: Place) -> None:
        self._client = client
        self.place = place

    def register(self, record: Mapping[str, Any]) -> None:
        """Return once the record's names are answered. Raises PortTaken, DelegateFailed, TryAgain."""
        self._ask({"do": "register", "record": dict(record)})

    def unregister(self, attachment: Attachment) -> None:
        """Return once the attachment's names are no longer answered. Raises DelegateFailed, TryAgain."""
        self._ask({"do": "unregister", **attachment.to_json()})

    def list(self) -> dict[str, Any]:
        """All records the server answers for (`records`) and the addresses it listens on (`listening`).

        Raises TryAgain.
        """
        return self._ask({"do": "list"})

    def ping(self) -> dict[str, Any]:
        """The server's process id (`pid`) and the addresses it listens on (`listening`). Raises TryAgain."""
        return self._ask({"do": "ping"})

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            reply = self._client.ask(request)
        except TimeoutError:
            raise TryAgain(
                f"the name server (pid {self._client.pid}) does not reply",
                "stop that process; the next ADD starts another",
            ) from None
        except (OSError, ValueError) as error:
            raise TryAgain("the name server went away during a request", str(error)) from None
        if not reply.get("ok"):
            raise control.error_in(reply)
        return reply


@contextmanager
def running(host: Host) -> Iterator[tuple[Server | None, Records]]:
    """The server if one runs, and the records that it reads, or that it will read once it is started."""
    server = reach(host)
    place = server.place if server else Place(host.files, host.state_dir)
    with closing(server) if server else nullcontext():
        yield server, place.records


def reach(host: Host) -> Server | None:
    """The server of our network namespace, or None. It may have been started in another mount namespace."""
    found = control.reach(paths.socket(host.state_dir, paths.NAME_SERVER), REPLY)
    return None if found is None else Server(found, Place(host.files, found.root + host.state_dir))


def reach_or_start(host: Host) -> Server:
    """The server, started if there is none. Raises IoFailure when it does not come up."""
    deadline, started = time.monotonic() + START, 0.0
    while True:
        found = reach(host)
        if found is not None:
            return found
        now = time.monotonic()
        if now > deadline:
            raise IoFailure("the name server does not start", f"see {SERVICE.log} for what it said")
        if now - started > _AGAIN:
            SERVICE.start()
            started = now
        time.sleep(_INTERVAL)


def answers(server: str, name: str) -> frozenset[str]:
    """The addresses that a DNS server gives for a name, asked over UDP; empty when it does not answer."""
    import dns.exception
    import dns.message
    import dns.query

    found: set[str] = set()
    for kind in ("A", "AAAA"):
        query = dns.message.make_query(name + ".", kind)
        try:
            reply = dns.query.udp(query, server, timeout=1.0, ignore_unexpected=True)
        except (OSError, dns.exception.DNSException):
            continue
        found.update(str(record) for rrset in reply.answer for record in rrset)
    return frozenset(found)
