"""Asking a long-lived process over a unix socket, and answering: one JSON object after another, both ways.

A message is its length in four octets, most significant first, and the JSON. Only processes of the same
user are answered (SO_PEERCRED, unix(7)).
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from linkspan.cni.errors import CniError, DelegateFailed, PortTaken, TryAgain, shortened
from linkspan.cni.json_value import parse_json
from linkspan.daemon.loop import READ, Loop
from linkspan.host.linux.procfs import listeners_at, process_with_socket

#: The longest message, in bytes.
LIMIT = 1 << 24
#: Seconds that a client has to take its reply: the reply is small, and everybody waits.
_SENDING = 1.0
_BACKLOG = 1024
_PIECE = 1 << 16

Message = dict[str, Any]


def pack(message: Mapping[str, Any]) -> bytes:
    """A message as it goes over the socket."""
    data = json.dumps(message).encode()
    return len(data).to_bytes(4, "big") + data


def unpack(data: bytes) -> tuple[Message | None, bytes]:
    """(first whole message, what follows it); (None, data) until it is whole.

    Raises ValueError for anything else.
    """
    size = int.from_bytes(data[:4], "big")
    if len(data) >= 4 and size > LIMIT:
        raise ValueError(f"a message of {size} bytes")
    if len(data) < 4 or len(data) < 4 + size:
        return None, data
    message = parse_json(data[4 : 4 + size])
    if not isinstance(message, dict):
        raise ValueError("a message that is not an object")
    return message, data[4 + size :]


def error_in(reply: Mapping[str, Any]) -> CniError:
    """The error that a process replied; TryAgain for one that cannot be read, such as of another version."""
    try:
        code, msg, details = int(reply["code"]), str(reply["msg"]), str(reply["details"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return TryAgain(
            "a process of linkspan replied an error that cannot be read", shortened(str(reply), 100)
        )
    return PortTaken(msg, details) if code == PortTaken.code else DelegateFailed(code, msg, details)


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end of a unix socket, when it connected or began to listen."""

    pid: int
    uid: int

    @property
    def trusted(self) -> bool:
        """Whether it runs as the user that we run as."""
        return self.uid == os.geteuid()


def peer_of(sock: socket.socket) -> Peer:
    """Who is at the other end (SO_PEERCRED). Raises OSError."""
    pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return Peer(pid, uid)


# --- the one who answers --------------------------------------------------------------------------


class Endpoint:
    """A listening socket at a path, for our own user only.

    It appears there when it listens, and replaces what is there.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        temporary = f"{path}.{os.getpid()}"
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        self.sock.bind(temporary)
        os.chmod(temporary, 0o600)
        self.sock.listen(_BACKLOG)
        os.rename(temporary, path)
        self._inode = os.stat(path).st_ino

    def accept(self) -> socket.socket | None:
        """The next connection of a process that we trust; None if it was another's, or is gone again."""
        try:
            connection, _ = self.sock.accept()
        except OSError:
            return None
        with suppress(OSError):
            if peer_of(connection).trusted:
                return connection
        connection.close()
        return None

    def in_place(self) -> bool:
        """Whether the path still leads to this socket."""
        try:
            return os.stat(self.path).st_ino == self._inode
        except OSError:
            return False

    def unlink(self) -> None:
        """Take the path away, so that nobody connects any more; connections stay."""
        with suppress(OSError):
            if self.in_place():
                os.unlink(self.path)

    def close(self) -> None:
        """Take the path away and listen no longer."""
        self.unlink()
        self.sock.close()


class Control:
    """Answers every message that comes to a path with what `answer` makes of it."""

    def __init__(self, loop: Loop, path: str, answer: Callable[[Message], Message]) -> None:
        self._loop = loop
        self._answer = answer
        self.endpoint = Endpoint(path)
        loop.watch(self.endpoint.sock, READ, self._accept)

    def in_place(self) -> bool:
        """Whether the path still leads here."""
        return self.endpoint.in_place()

    def reopen(self) -> None:
        """Answer at a new socket at the path."""
        self._loop.close(self.endpoint.sock)
        self.endpoint = Endpoint(self.endpoint.path)
        self._loop.watch(self.endpoint.sock, READ, self._accept)

    def close(self) -> None:
        """Answer no longer."""
        self._loop.unwatch(self.endpoint.sock)
        self.endpoint.close()

    def _accept(self) -> None:
        connection = self.endpoint.accept()
        if connection is not None:
            connection.setblocking(False)
            received = bytearray()
            self._loop.watch(connection, READ, lambda: self._read(connection, received))

    def _read(self, connection: socket.socket, received: bytearray) -> None:
        try:
            piece = connection.recv(_PIECE)
            received += piece
            message, rest = unpack(bytes(received))
        except BlockingIOError:
            return
        except (OSError, ValueError):
            self._loop.close(connection)
            return
        if message is not None:
            received[:] = rest
            self._reply(connection, self._answer(message))
        if not piece:
            self._loop.close(connection)

    def _reply(self, connection: socket.socket, reply: Message) -> None:
        connection.settimeout(_SENDING)
        with suppress(OSError):
            connection.sendall(pack(reply))
        connection.setblocking(False)


# --- the one who asks -----------------------------------------------------------------------------


class Client:
    """A connection to the process that listens at a path.

    `root` is where its files are from here: "" or /proc/PID/root.
    """

    def __init__(self, sock: socket.socket, root: str = "") -> None:
        self._sock = sock
        self.root = root

    def ask(self, message: Mapping[str, Any]) -> Message:
        """The reply to a message.

        Raises TimeoutError when it does not come in time, OSError or ValueError when it never will.
        """
        self._sock.sendall(pack(message))
        received = b""
        while True:
            piece = self._sock.recv(_PIECE)
            if not piece:
                raise ConnectionResetError("it hung up")
            reply, received = unpack(received + piece)
            if reply is not None:
                return reply

    @property
    def pid(self) -> int:
        """The process that listens; 0 if it cannot be told."""
        with suppress(OSError):
            return peer_of(self._sock).pid
        return 0

    def close(self) -> None:
        """Hang up."""
        self._sock.close()


def connect(path: str, timeout: float) -> socket.socket | None:
    """A connection to whoever listens at a path, or None.

    Nothing waits longer on it than `timeout` seconds.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        return None
    return sock


def reach(path: str, timeout: float) -> Client | None:
    """The process of this network namespace that listens at a path, whatever its mount namespace, or None.

    The path is tried as we see it, then as the process that has such a socket sees it.
    """
    sock = connect(path, timeout)
    if sock is not None:
        return Client(sock)
    pid = process_with_socket(listeners_at(path))
    root = f"/proc/{pid}/root"
    sock = connect(root + path, timeout) if pid else None
    return None if sock is None else Client(sock, root)
