"""The ports process, started by the client if none answers.

The truth is in its records: it loads them when it starts, is told of changes over a unix socket, and leaves
when none is left. After an upgrade it becomes the new build, which takes over its listening sockets; if
connections are being relayed, a process of the old build stays until they have ended.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from linkspan.call.records import Records
from linkspan.cni.errors import Bug, CniError
from linkspan.cni.model import Attachment
from linkspan.daemon import namespace
from linkspan.daemon.control import Control, Message
from linkspan.daemon.log import say
from linkspan.daemon.loop import Loop
from linkspan.daemon.partner import keep_supervised
from linkspan.daemon.presence import Presence
from linkspan.daemon.services import PORTS, RESIDENT
from linkspan.daemon.upgrade import become_installed, inherited, installed_build
from linkspan.netfilter.relay import RelayedPort
from linkspan.ports import client
from linkspan.ports.held import HeldPorts
from linkspan.ports.relay import Relay
from linkspan.ports.sockets import Sockets
from linkspan.ports.table import HeldPort
from linkspan.ports.tcp import raise_descriptor_limit
from linkspan.steps import relay

if TYPE_CHECKING:
    from linkspan.host.contract import Host

#: Seconds between two checks. It leaves when two in a row find nothing to relay or hold.
INTERVAL = 2.0


class Server:
    """The serving process."""

    def __init__(self, host: Host) -> None:
        self._loop = Loop(lambda error: say(f"a request failed: {error!r}"))
        self._relayed, self._held_records = Records(host, relay.RECORDS), Records(host, client.RECORDS)
        sockets = Sockets(inherited())
        self._relay = Relay(self._loop, sockets, raise_descriptor_limit())
        self._held = HeldPorts(sockets)
        self._load()
        sockets.close()
        self._control = Control(self._loop, PORTS.socket, self._answer)
        self._presence = Presence(self._loop, PORTS, self._control.in_place, self._reopen, self._loop.stop)
        self._build = installed_build()
        self._draining = self._was_idle = False

    def run(self) -> None:
        """Serve until there is nothing to relay or hold, or SIGTERM."""
        self._loop.on_signal(signal.SIGTERM, self._loop.stop)
        self._loop.every(INTERVAL, self._check)
        namespace.watch(self._loop, self._loop.stop)
        keep_supervised(self._loop, RESIDENT)
        gc.collect()
        gc.freeze()
        self._loop.run()
        self._presence.end()
        self._control.close()
        self._relay.reset()

    def _load(self) -> None:
        """Relay and hold what the records tell of; what cannot be is said in the log."""
        for attachment, record in self._relayed.all():
            self._try(attachment, partial(self._serve, attachment, record.get("ports", ())))
        for attachment, record in self._held_records.all():
            for port in record.get("ports", ()):
                self._try(attachment, partial(self._hold, attachment, port))

    def _try(self, attachment: Attachment, action: Callable[[], object]) -> None:
        try:
            action()
        except (CniError, ValueError, TypeError, KeyError) as error:
            say(f"the record of {attachment} is not restored: {error!r}")

    # --- requests -------------------------------------------------------------------------------------------

    def _answer(self, message: Message) -> Message:
        try:
            return {"ok": True, **self._done(message)}
        except CniError as error:
            return _refused(error)
        except (KeyError, TypeError, ValueError) as error:
            return _refused(Bug(f"the ports process does not understand a request: {error!r}"))

    def _done(self, message: Message) -> Message:
        verb = message["do"]
        if verb == "list":
            return self._list()
        attachment = Attachment.from_json(message)
        if verb == "relay":
            self._serve(attachment, message["ports"])
        elif verb == "hold":
            self._hold(attachment, message["port"])
            _write(self._held_records, attachment, self._held.of(attachment))
        elif verb == "release":
            self._release(attachment, message["port"])
            _write(self._held_records, attachment, self._held.of(attachment))
        elif verb != "relayed":
            raise ValueError(f"unknown request {verb!r}")
        return {"ports": [each.to_json() for each in self._relay.of(attachment)]}

    def _serve(self, attachment: Attachment, ports: Iterable[Mapping[str, Any]]) -> None:
        served = self._relay.serve(attachment, [RelayedPort.from_json(each) for each in ports])
        _write(self._relayed, attachment, served)

    def _hold(self, attachment: Attachment, port: Mapping[str, Any]) -> None:
        self._held.hold(attachment, HeldPort.from_json(port))

    def _release(self, attachment: Attachment, port: Mapping[str, Any] | None) -> None:
        released = self._held.of(attachment) if port is None else (HeldPort.from_json(port),)
        for each in released:
            self._held.release(attachment, each)

    def _list(self) -> Message:
        held = [{**attachment.to_json(), "port": port.to_json()} for attachment, port in self._held.all()]
        relayed = [
            {**attachment.to_json(), "ports": [each.to_json() for each in ports]}
            for attachment, ports in self._relay.all()
        ]
        return {"relayed": relayed, "held": held, "connections": self._relay.connections}

    def _reopen(self) -> None:
        """Our files were removed: write down again what we relay and hold."""
        self._control.reopen()
        for attachment, ports in self._relay.all():
            _write(self._relayed, attachment, ports)
        for attachment in {owner for owner, _ in self._held.all()}:
            _write(self._held_records, attachment, self._held.of(attachment))

    # --- the end --------------------------------------------------------------------------------------------

    def _check(self) -> None:
        idle = not (self._relay or self._held or self._relay.connections)
        if idle and (self._draining or self._was_idle):
            self._loop.stop()
        self._was_idle = idle
        upgraded = installed_build() not in ("", self._build)  # "": uninstalled, and what runs goes on
        if upgraded and not self._draining:
            self._hand_over()

    def _hand_over(self) -> None:
        """Become the new build; connections that are being relayed stay with a process of the old one."""
        say("linkspan was upgraded; restarting")
        keep = (*self._relay.sockets, *self._held.sockets)
        if not self._relay.connections:
            become_installed(PORTS.program, keep)
        if os.fork() == 0:
            try:
                become_installed(PORTS.program, keep)
            finally:
                os._exit(1)
        self._drain()

    def _drain(self) -> None:
        """Leave everything but the connections to the new build, which takes our lock."""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        self._draining = True
        self._presence.end()
        self._control.close()
        self._relay.stop_accepting()
        self._held.close()
        PORTS.resign()


def _write(
    records: Records, attachment: Attachment, ports: tuple[RelayedPort, ...] | tuple[HeldPort, ...]
) -> None:
    if ports:
        records.write(attachment, {"ports": [each.to_json() for each in ports]})
    else:
        records.remove(attachment)


def _refused(error: CniError) -> Message:
    return {"ok": False, "code": error.code, "msg": error.msg, "details": error.details}


def main() -> int:
    """Be the ports process of the network namespace we are in, unless there is one."""
    from linkspan.host.linux import LinuxHost

    if PORTS.begin():
        Server(LinuxHost()).run()
    return 0
