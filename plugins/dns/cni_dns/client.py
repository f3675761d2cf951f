"""The plugin's way to the one name server of its network namespace: find it, start it, ask it."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cni_dns import frames
from cni_dns.holder import process_of, unix_listener
from linkspan import paths
from linkspan.call.records import Records
from linkspan.cni.errors import CniError, DelegateFailed, IoFailure, PortTaken, TryAgain

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Files, Host

#: Seconds: until a started server must answer, and until a server must reply.
START, REPLY = 8.0, 5.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server's files are: `state_dir` below its root, as seen from here."""

    files: Files
    state_dir: str

    @property
    def records(self) -> Records:
        """The records the server reads."""
        return Records(self, "dns")


class Server:
    """A connection to the name server. One for each call of the plugin."""

    def __init__(self, sock: socket.socket, place: Place) -> None:
        self._sock = sock
        self.place = place

    def register(self, record: Mapping[str, Any]) -> None:
        """Return once the record's names are answered. Raises PortTaken, KernelRefused, TryAgain."""
        self._ask({"do": "register", "record": dict(record)})

    def unregister(self, attachment: Attachment) -> None:
        """Return once the attachment's names are answered no longer."""
        self._ask(
            {
                "do": "unregister",
                "network": attachment.network,
                "containerID": attachment.container_id,
                "ifname": attachment.ifname,
            }
        )

    def list(self) -> dict[str, Any]:
        """All records the server answers for (`records`) and the addresses it listens on (`listening`)."""
        return self._ask({"do": "list"})

    def ping(self) -> dict[str, Any]:
        """The server's process id and the addresses it listens on."""
        return self._ask({"do": "ping"})

    def close(self) -> None:
        """Hang up."""
        self._sock.close()

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            self._sock.sendall(frames.pack(request))
            reply = self._reply()
        except TimeoutError:
            raise TryAgain(
                f"the name server (pid {_peer(self._sock)}) does not reply",
                "stop that process; the next ADD starts another",
            ) from None
        except (OSError, ValueError) as error:
            raise TryAgain("the name server went away during a request", str(error)) from None
        if not reply.get("ok"):
            raise _refusal(int(reply["code"]), str(reply["msg"]), str(reply["details"]))
        return reply

    def _reply(self) -> dict[str, Any]:
        received = b""
        while True:
            chunk = self._sock.recv(1 << 16)
            if not chunk:
                raise OSError("it hung up")
            message, received = frames.unpack(received + chunk)
            if message is not None:
                return message


def _refusal(code: int, msg: str, details: str) -> CniError:
    return PortTaken(msg, details) if code == PortTaken.code else DelegateFailed(code, msg, details)


def reach(host: Host) -> Server | None:
    """The server that runs in our network namespace, or None.

    It is found through our own state folder, and else, when it was started under another mount namespace, through the
    root of the process that has its socket.
    """
    place = Place(host.files, host.state_dir)
    path = paths.socket(host.state_dir, paths.NAME_SERVER)
    sock = _connected(path)
    if sock is None:
        root = _root_of(path)
        place = Place(host.files, root + host.state_dir)
        sock = _connected(root + path) if root else None
    return None if sock is None else Server(sock, place)


def reach_or_start(host: Host) -> Server:
    """The server, started if there is none. Raises IoFailure when it does not come up."""
    deadline, started = time.monotonic() + START, 0.0
    while True:
        found = reach(host)
        if found is not None:
            return found
        now = time.monotonic()
        if now > deadline:
            raise IoFailure(
                "the name server does not start",
                f"see {paths.log(host.state_dir, paths.NAME_SERVER)} for what it said",
            )
        if now - started > 1.0:
            _start(host)
            started = now
        time.sleep(0.005)


def _root_of(path: str) -> str:
    inode = unix_listener(path)
    pid = process_of({inode}) if inode is not None else None
    return f"/proc/{pid}/root" if pid is not None else ""


def _connected(path: str) -> socket.socket | None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    sock.settimeout(REPLY)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        return None
    return sock


def _peer(sock: socket.socket) -> int:
    with suppress(OSError):
        return int(struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])
    return 0


def _start(host: Host) -> None:
    from linkspan.launch.interpreter import start

    host.files.make_folder(host.state_dir)
    start("cni_dns.server", paths.log(host.state_dir, paths.NAME_SERVER))


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
