"""The name server: `python -m cni_dns.server`, started by the plugin if none answers.

The supervisor starts it again if it is killed, and it the supervisor. The truth is in the records, which
plugins write: the server loads them when it starts, is told of changes over a unix socket, and leaves when
no record is left.
"""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cni_dns.server.client import SERVICE
from cni_dns.server.forward import Forwarder, ResolvConf
from cni_dns.server.listen import Listener, index_of
from cni_dns.server.listeners import Listeners
from cni_dns.server.resolve import Forwarded, fast_path, slow_path, truncated
from cni_dns.server.zone import Entry, ListenKey, Registry
from linkspan.call.records import Records
from linkspan.cni.errors import CniError, UndecodableInput
from linkspan.cni.model import Attachment
from linkspan.daemon import namespace
from linkspan.daemon.control import Control, Message
from linkspan.daemon.log import say
from linkspan.daemon.loop import Loop
from linkspan.daemon.partner import keep_supervised
from linkspan.daemon.presence import Presence
from linkspan.daemon.services import RESIDENT
from linkspan.daemon.upgrade import become_installed, installed_build

if TYPE_CHECKING:
    from linkspan.host.contract import Host

#: Seconds between checks of the host-side links, and until a server without names leaves.
SWEEP = 2.0
GRACE = 5.0


class Server:
    """Listeners, control socket and registry on one loop."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._records = Records(host, "dns")
        self._loop = Loop(lambda error: say(f"a request failed: {error!r}"))
        self._registry = Registry()
        self._listeners = Listeners(host, self._listener)
        self._forwarder = Forwarder(self._loop)
        self._resolv_conf = ResolvConf()
        self._idle_since: float | None = time.monotonic()
        self._build = installed_build()
        self.upgraded = False

    def run(self) -> None:
        """Serve until there is a reason to leave, such as that no record is left."""
        for _, record in self._records.all():
            self._load(record)
        self._sweep()
        self._loop.every(SWEEP, self._sweep)
        self._control = Control(self._loop, SERVICE.socket, self._answer)
        presence = Presence(self._loop, SERVICE, self._control.in_place, self._reopen, self._loop.stop)
        self._loop.on_signal(signal.SIGTERM, self._loop.stop)
        namespace.watch(self._loop, self._abandon)
        keep_supervised(self._loop, RESIDENT)
        gc.collect()
        gc.freeze()
        self._loop.run()
        presence.end()
        self._control.close()

    # --- names ------------------------------------------------------------------------------------

    def _load(self, record: Mapping[str, Any]) -> None:
        try:
            self._registry.put(Entry.from_record(record))
        except (ValueError, OverflowError) as error:
            say(f"an invalid record is ignored: {error!r}")

    def register(self, record: Mapping[str, Any]) -> Message:
        """Answer for a record's names.

        When this returns they are answered. Raises PortTaken, KernelRefused.
        """
        entry = Entry.from_record(record)
        try:
            self._listeners.open(entry.listeners)
        except CniError:
            self._close_unused()
            raise
        for evicted in self._registry.put(entry):
            say(f"{evicted.attachment} lost its address, and so its names, to {entry.attachment}")
            self._records.remove(evicted.attachment)
        if self._records.read(entry.attachment) is None:
            self._records.write(entry.attachment, entry.record())
        self._close_unused()
        return {}

    def unregister(self, attachment: Attachment) -> Message:
        """Stop answering for an attachment; nothing happens if it had no names."""
        self._registry.remove(attachment)
        self._close_unused()
        return {}

    def _reopen(self) -> None:
        """Our files were removed: write the records again."""
        self._control.reopen()
        for entry in self._registry.entries.values():
            self._records.write(entry.attachment, entry.record())

    def _listener(self, key: ListenKey, device: str) -> Listener:
        return Listener(
            self._loop,
            device,
            key[1],
            lambda data, client: self._fast_path(data, key, client),
            lambda data, client, tcp, answer: self._slow_path(data, key, client, answer, tcp=tcp),
        )

    def _close_unused(self) -> None:
        """Close the listeners that no entry needs, and note since when there is no entry."""
        self._listeners.close_all_but(self._registry.listeners)
        if self._registry.entries:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = time.monotonic()

    # --- what time brings about -------------------------------------------------------------------

    def _sweep(self) -> None:
        """Drop names whose link is gone (a lost DEL), listen where it was impossible before or the device was
        recreated, leave if due.
        """
        for entry in tuple(self._registry.entries.values()):
            if entry.link and not index_of(entry.link):
                say(f"{entry.attachment} is gone without a DEL; its names are removed")
                self._registry.remove(entry.attachment)
                self._records.remove(entry.attachment)
        for key in self._registry.listeners:
            try:
                self._listeners.open([key])
            except CniError as error:
                say(error.msg)
        self._close_unused()
        if installed_build() not in (self._build, ""):  # if it was uninstalled, names are still answered
            say("linkspan was upgraded; the new version takes over")
            self.upgraded = True
            self._loop.stop()
        if self._idle_since is not None and time.monotonic() - self._idle_since > GRACE:
            self._loop.stop()

    def _abandon(self) -> None:
        say("nobody else keeps this network namespace")
        self._loop.stop()

    # --- queries ----------------------------------------------------------------------------------

    def _fast_path(self, data: bytes, listener: ListenKey, client: str) -> bytes | None:
        view = self._registry.view(listener, client)
        return None if view is None else fast_path(data, view)

    def _slow_path(
        self, data: bytes, listener: ListenKey, client: str, answer: Callable[[bytes], None], *, tcp: bool
    ) -> None:
        reply = slow_path(data, self._registry.view(listener, client), tcp=tcp)
        if isinstance(reply, Forwarded):
            # Two networks may have clients of one address, and each has its own share of the forwarder.
            self._forward(data, f"{client}%{listener[0]}", reply, answer, tcp=tcp)
        elif reply is not None or tcp:
            answer(reply or b"")

    def _forward(
        self, data: bytes, client: str, query: Forwarded, answer: Callable[[bytes], None], *, tcp: bool
    ) -> None:
        ours = self._listeners.addresses
        servers = tuple(each for each in query.upstreams if each not in ours)
        servers = servers or self._resolv_conf.servers(ours)

        def done(reply: bytes | None) -> None:
            answer(query.failure if reply is None else truncated(reply, query.limit))

        self._forwarder.ask(data, client, servers, done, tcp=tcp)

    # --- control ----------------------------------------------------------------------------------

    def _answer(self, request: Message) -> Message:
        try:
            return {"ok": True, **self._carry_out(request)}
        except CniError as error:
            return {"ok": False, "code": error.code, "msg": error.msg, "details": error.details}
        except (KeyError, TypeError, ValueError) as error:
            msg = f"the name server does not understand the request: {error!r}"
            return {"ok": False, "code": UndecodableInput.code, "msg": msg, "details": ""}

    def _carry_out(self, request: Message) -> Message:
        verb = request["do"]
        if verb == "register":
            return self.register(request["record"])
        if verb == "unregister":
            return self.unregister(Attachment.from_json(request))
        if verb == "list":
            records = [entry.record() for entry in self._registry.entries.values()]
            return {"records": records, "listening": sorted(self._listeners.addresses)}
        if verb == "ping":
            return {"pid": os.getpid(), "listening": sorted(self._listeners.addresses)}
        raise ValueError(f"unknown request {verb!r}")


def main() -> int:
    """Be the name server of this network namespace; at once 0 if there is one."""
    from linkspan.host.linux import LinuxHost

    if SERVICE.begin():
        server = Server(LinuxHost())
        server.run()
        if server.upgraded:
            become_installed(SERVICE.program)
    return 0
