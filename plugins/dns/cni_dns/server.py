"""The name server of one network namespace: `python -m cni_dns.server`, started by the plugin when none answers.

A keeper process starts the serving process again when it is killed. The truth is in the records, which plugins write; the
server loads them when it starts, hears of changes over a unix socket, and leaves when no record is left.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cni_dns import frames
from cni_dns.forward import Forwarder, ResolvConf
from cni_dns.listeners import Listener
from cni_dns.loop import READ, Loop
from cni_dns.registry import Entry, Registry
from cni_dns.resolver import Forward, careful, fitting, quick
from linkspan import paths
from linkspan.call.records import Records
from linkspan.cni.errors import CniError
from linkspan.cni.model import Attachment
from linkspan.daemon.service import Service
from linkspan.daemon.upgrade import become_installed, installed_build

if TYPE_CHECKING:
    from linkspan.host.contract import Host

#: Seconds between looks at the host-side links, and until a server without names leaves.
SWEEP = 2.0
GRACE = 5.0
#: The serving process's exit status when its files are not the ones it was started from.
UPGRADED = 75
_QUICK_DEATHS = 5


SERVICE = Service(paths.NAME_SERVER, "cni_dns.server", role="dns")


class Server:
    """The serving process: listeners, control socket and registry on one loop."""

    def __init__(self, host: Host, say: Callable[[str], None]) -> None:
        self._host = host
        self._say = say
        self._records = Records(host, "dns")
        self._loop = Loop()
        self._registry = Registry()
        self._listeners: dict[str, Listener] = {}
        self._forwarder = Forwarder(self._loop)
        self._resolv_conf = ResolvConf()
        self._idle_since: float | None = time.monotonic()
        self._build = installed_build()
        self._status = 0

    def run(self) -> int:
        """Serve until no record is left, SIGTERM or an upgrade; then this process's exit status."""
        for _, record in self._records.all():
            self._load(record)
        self._sweep()
        control = _control_socket(paths.socket(self._host.state_dir, paths.NAME_SERVER))
        self._loop.watch(control, READ, lambda: self._accept(control))
        self._loop.stop_on(signal.SIGTERM)
        gc.collect()
        gc.freeze()
        self._loop.run(lambda error: self._say(f"a request failed: {error!r}"))
        with suppress(OSError):
            os.unlink(paths.socket(self._host.state_dir, paths.NAME_SERVER))
        control.close()
        return self._status

    # --- names ------------------------------------------------------------------------------------------------

    def _load(self, record: Mapping[str, Any]) -> None:
        try:
            self._registry.put(Entry.from_record(record))
        except (KeyError, TypeError, ValueError) as error:
            self._say(f"a record makes no sense and is passed over: {error!r}")

    def register(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Answer for a record's names. When this returns they are being answered. Raises PortTaken, KernelRefused."""
        entry = Entry.from_record(record)
        try:
            for address in entry.listen:
                self._listen(address)
        except CniError:
            self._tidy()
            raise
        for evicted in self._registry.put(entry):
            self._say(f"{evicted.attachment} lost its address, and so its names, to {entry.attachment}")
            self._records.remove(evicted.attachment)
        if self._records.read(entry.attachment) is None:
            self._records.write(entry.attachment, entry.record())
        self._tidy()
        return {}

    def unregister(self, attachment: Attachment) -> dict[str, Any]:
        """Answer no longer for an attachment; nothing happens if it had no names."""
        self._registry.remove(attachment)
        self._tidy()
        return {}

    def _listen(self, address: str) -> None:
        if address not in self._listeners:
            self._listeners[address] = Listener(
                self._loop,
                address,
                lambda data, client: self._quick(data, address, client),
                lambda data, client, tcp, answer: self._careful(data, address, client, answer, tcp=tcp),
            )

    def _tidy(self) -> None:
        """Close what nobody needs any more, and remember since when nobody needs anything."""
        for address in self._listeners.keys() - self._registry.listeners:
            self._listeners.pop(address).close()
        if self._registry.entries:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = time.monotonic()

    def _sweep(self) -> None:
        """Drop the names whose link is gone (a lost DEL), listen where it was not possible before, leave when idle."""
        for entry in tuple(self._registry.entries.values()):
            if entry.link and not _link_exists(entry.link):
                self._say(f"{entry.attachment} is gone without a DEL; its names go too")
                self._registry.remove(entry.attachment)
                self._records.remove(entry.attachment)
        for address in self._registry.listeners - self._listeners.keys():
            try:
                self._listen(address)
            except CniError as error:
                self._say(error.msg)
        self._tidy()
        if installed_build() not in ("", self._build):  # "": uninstalled, and what runs goes on
            self._say("linkspan was upgraded; the new one takes over")
            self._status = UPGRADED
            self._loop.stop()
        if self._idle_since is not None and time.monotonic() - self._idle_since > GRACE:
            self._loop.stop()
        self._loop.later(SWEEP, self._sweep)

    # --- queries ----------------------------------------------------------------------------------------------

    def _quick(self, data: bytes, listener: str, client: str) -> bytes | None:
        view = self._registry.view(listener, client)
        return None if view is None else quick(data, view)

    def _careful(
        self, data: bytes, listener: str, client: str, answer: Callable[[bytes], None], *, tcp: bool
    ) -> None:
        reply = careful(data, self._registry.view(listener, client), tcp=tcp)
        if isinstance(reply, Forward):
            self._forward(data, client, reply, answer, tcp=tcp)
        elif reply is not None or tcp:
            answer(reply or b"")

    def _forward(
        self, data: bytes, client: str, decision: Forward, answer: Callable[[bytes], None], *, tcp: bool
    ) -> None:
        ours = self._listeners.keys()
        servers = tuple(each for each in decision.upstreams if each not in ours)
        servers = servers or self._resolv_conf.servers(ours)

        def done(reply: bytes | None) -> None:
            answer(decision.failure if reply is None else fitting(reply, decision.limit))

        self._forwarder.ask(data, client, servers, done, tcp=tcp)

    # --- control ----------------------------------------------------------------------------------------------

    def _accept(self, control: socket.socket) -> None:
        sock, _ = control.accept()
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid != 0:
            sock.close()
            return
        sock.setblocking(False)
        received = bytearray()
        self._loop.watch(sock, READ, lambda: self._hear(sock, received))

    def _hear(self, sock: socket.socket, received: bytearray) -> None:
        try:
            chunk = sock.recv(1 << 16)
            received += chunk
            request, rest = frames.unpack(bytes(received))
        except BlockingIOError:
            return
        except (OSError, ValueError):
            self._loop.close(sock)
            return
        if request is not None:
            received[:] = rest
            reply = frames.pack(self._obey(request))
            # The reply is small but for `list`; a caller that does not read is not waited for longer than this.
            sock.settimeout(1.0)
            with suppress(OSError):
                sock.sendall(reply)
            sock.setblocking(False)
        if not chunk:
            self._loop.close(sock)

    def _obey(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return {"ok": True, **self._done(request)}
        except CniError as error:
            return {"ok": False, "code": error.code, "msg": error.msg, "details": error.details}
        except (KeyError, TypeError, ValueError) as error:
            return {
                "ok": False,
                "code": 199,
                "msg": f"the name server does not understand: {error!r}",
                "details": "",
            }

    def _done(self, request: Mapping[str, Any]) -> dict[str, Any]:
        verb = request["do"]
        if verb == "register":
            return self.register(request["record"])
        if verb == "unregister":
            return self.unregister(Attachment(request["network"], request["containerID"], request["ifname"]))
        if verb == "list":
            records = [entry.record() for entry in self._registry.entries.values()]
            return {"records": records, "listening": sorted(self._listeners)}
        if verb == "ping":
            return {"pid": os.getpid(), "listening": sorted(self._listeners)}
        raise ValueError(f"unknown request {verb!r}")


def _link_exists(name: str) -> bool:
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def _control_socket(path: str) -> socket.socket:
    with suppress(FileNotFoundError):
        os.unlink(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        sock.bind(path)
    finally:
        os.umask(before)
    sock.listen(1024)
    return sock


def _log(message: str) -> None:
    """One line to stderr, which whoever started us pointed at the log."""
    with suppress(OSError):
        os.write(2, f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {message}\n".encode())


def _keep(serve: Callable[[], int]) -> int:
    """Run `serve` in a child, again whenever it is killed. Returns when it ended by itself, or keeps dying at once.

    After an upgrade this process becomes the new keeper.
    """
    deaths: list[float] = []
    while len(deaths) < _QUICK_DEATHS or time.monotonic() - deaths[-_QUICK_DEATHS] > 10:
        child = os.fork()
        if child == 0:
            os._exit(serve())
        signal.signal(signal.SIGTERM, lambda *_, child=child: os.kill(child, signal.SIGTERM))
        _, status = os.waitpid(child, 0)
        if status == 0:
            return 0
        if os.waitstatus_to_exitcode(status) == UPGRADED:
            become_installed(SERVICE.module)
        _log(f"the serving process {child} ended with status {status}; it is started again")
        deaths.append(time.monotonic())
    return 1


def main() -> int:
    """Be the name server of the network namespace we are in, unless there is one."""
    from linkspan.host.linux import LinuxHost

    if not SERVICE.begin():
        return 0
    host = LinuxHost()
    return _keep(lambda: Server(host, _log).run())


if __name__ == "__main__":
    sys.exit(main())
