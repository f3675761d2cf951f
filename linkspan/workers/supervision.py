"""What the supervisor does besides handing out calls: it keeps the services, and restores what somebody
removed.

It is told of every transaction of nf_tables, and of addresses, bridges and forwarding that are gone. The
tables of iptables-legacy announce nothing: their sizes are asked for.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict
from functools import partial

from linkspan import paths
from linkspan.call.plugin import MODULES, load
from linkspan.call.records import has_records
from linkspan.cni.errors import CniError
from linkspan.daemon.control import Control, Message
from linkspan.daemon.log import say
from linkspan.daemon.loop import READ, Loop
from linkspan.daemon.partner import Partner
from linkspan.daemon.service import TITLE, Service
from linkspan.daemon.services import PORTS, LinuxServices
from linkspan.host.linux import LinuxHost
from linkspan.host.linux.iptables.sizes import has_shrunk, table_sizes
from linkspan.host.linux.netlink import events
from linkspan.netfilter.nft_text import TABLE
from linkspan.workers.child import fork_for
from linkspan.workers.healing import SETTLE, Healing

#: Seconds between two questions for the sizes of iptables-legacy's tables, and between two looks at what was
#: noticed, which nobody announces the end of.
INTERVAL, _NOTICED = 1.0, 10.0
#: Seconds between two rounds that nobody asked for, and after which a temporary file is abandoned.
_SWEEP, _ABANDONED = 3600.0, 60.0
#: Seconds to wait after a change that a worker's call may have made.
_OURS_PERHAPS = 1.0
_PORTS_OF_OURS = "netdev linkspan_"
_IPTABLES = frozenset(
    f"{family} {table}" for family in ("ip", "ip6") for table in ("raw", "mangle", "nat", "filter")
)
#: firewalld's zones have the addresses of containers until it reloads.
_FIREWALLD = "inet firewalld"
_LARGEST = 1 << 18


class Supervision:
    """See the module. The sockets come from a process that ends, so that pyroute2 stays in no process."""

    def __init__(self, loop: Loop, is_busy: Callable[[], bool]) -> None:
        self._loop, self._is_busy = loop, is_busy
        self._host = LinuxHost()
        self._partners = {each.title: Partner(loop, each, partial(_revive, each)) for each in kept_services()}
        self._healing = Healing(loop, heal)
        self._sizes = table_sizes()
        self._watches = False
        self._control = Control(loop, paths.socket(self._host.state_dir, paths.SUPERVISOR), self._answer)
        self._open_sockets()
        loop.every(INTERVAL, self._check)
        loop.every(_NOTICED, self._look_again)
        loop.every(_SWEEP, self._healing.request)
        self._healing.request()  # what was removed while nobody watched

    def has_attachments(self) -> bool:
        """Whether there is something to watch."""
        with suppress(CniError):
            removed = self._host.files.exists(paths.removed_mark(self._host.state_dir))
            return removed or has_records(self._host)
        return True

    def reopen(self) -> None:
        """Our files were removed: answer at a new socket, and note that records may be missing."""
        self._control.reopen()
        self._host.files.write(paths.removed_mark(self._host.state_dir), b"")
        self._healing.request()

    def close(self) -> None:
        """Answer no more questions."""
        self._control.close()

    def _answer(self, request: Message) -> Message:
        del request
        services = {title: each.pid for title, each in self._partners.items()}
        return {"ok": True, "services": services, "watches": self._watches, **asdict(self._healing.state)}

    # --- announcements ----------------------------------------------------------------------------

    def _open_sockets(self) -> None:
        pid, channel = fork_for("events", _send_sockets)

        def receive() -> None:
            with closing(channel):
                _, descriptors, _, _ = socket.recv_fds(channel, 1, 2)
                self._loop.unwatch(channel)
            os.waitpid(pid, 0)
            if len(descriptors) == 2:
                self._watch(*(socket.socket(fileno=each) for each in descriptors))
            else:
                say("rules are not watched: see above")

        self._loop.watch(channel, READ, receive)

    def _watch(self, rules: socket.socket, routes: socket.socket) -> None:
        commits = events.Commits()
        self._loop.watch(rules, READ, lambda: _drain(rules, partial(self._on_rules, commits), self._missed))
        self._loop.watch(routes, READ, lambda: _drain(routes, self._on_routes, self._missed))
        self._watches = True

    def _on_rules(self, commits: events.Commits, datagram: bytes) -> None:
        for commit in commits.of(datagram):
            if not commit.program.startswith(TITLE) and any(map(_is_watched, commit.tables)):
                # The programs that a process of ours runs are not told from others.
                busy = self._healing.is_running or self._is_busy()
                if busy and "tables" in commit.program:
                    self._request(wait=_OURS_PERHAPS)
                else:
                    self._request(f"{commit.program} (pid {commit.pid})")

    def _on_routes(self, datagram: bytes) -> None:
        if events.concerns_bridges(datagram):
            self._request()

    def _missed(self) -> None:
        """There were more announcements than the socket has room for."""
        self._request()

    # --- what time brings about -------------------------------------------------------------------

    def _check(self) -> None:
        before, self._sizes = self._sizes, table_sizes()
        if has_shrunk(before, self._sizes):
            self._request("iptables-legacy")
        self._healing.check()

    def _look_again(self) -> None:
        if self._healing.state.noticed:
            self._request()

    def _request(self, author: str = "", *, wait: float = SETTLE) -> None:
        if self.has_attachments():
            self._healing.request(author, wait=wait)


def kept_services() -> tuple[Service, ...]:
    """The services that the supervisor starts again: the ports process, and those of plugins."""
    of_plugins = (each for each in map(load, MODULES) if each.program)
    return (
        PORTS,
        *(Service(each.type, each.program, role=each.type, records=(each.type,)) for each in of_plugins),
    )


def heal(channel: socket.socket) -> None:
    """In a process of its own: restore packet rules, and report.

    {"missing": [sentence], "noticed": [sentence], "failed": [sentence]}
    """
    from linkspan.call.reload import reload
    from linkspan.call.restoring import Scope
    from linkspan.host.linux.files import remove_abandoned
    from linkspan.runtime.recover import recover

    host = LinuxHost(services=LinuxServices)
    remove_abandoned(host.state_dir, age=_ABANDONED)
    lost = recover(host)
    found = reload(host, Scope(rules_only=True))
    host.close()
    report = {
        "missing": [
            *(f"{each} had lost its records" for each in lost),
            *(sentence for each in found for sentence in each.missing),
        ],
        "noticed": [sentence for each in found for sentence in each.noticed],
        "failed": [f"{each.attachment or each.plugin}: {each.error.msg}" for each in found if each.error],
    }
    channel.sendall(json.dumps(report).encode())


def _send_sockets(channel: socket.socket) -> None:
    sockets = events.open_sockets()
    socket.send_fds(channel, [b"-"], [each.fileno() for each in sockets])


def _revive(service: Service) -> None:
    if service.is_needed():
        say(f"{service.title} was killed; it is started again")
        service.start()


def _is_watched(table: str) -> bool:
    return table in (TABLE, _FIREWALLD) or table in _IPTABLES or table.startswith(_PORTS_OF_OURS)


def _drain(sock: socket.socket, act: Callable[[bytes], None], missed: Callable[[], None]) -> None:
    """Read what a socket has received; if it had to drop some of it, tell `missed`."""
    while True:
        try:
            datagram = sock.recv(_LARGEST)
        except BlockingIOError:
            return
        except OSError:  # ENOBUFS, netlink(7)
            missed()
            continue
        act(datagram)
