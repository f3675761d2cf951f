"""A relayed TCP connection: splice(2) moves the bytes through pipes of the kernel, none through this process.

The pipe is the only buffer: while it holds something, nothing more is read, so a slow receiver slows its
sender down. A FIN is passed on by itself, so each direction ends when its sender ends it; a reset, or any
other error, resets the other side.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from linkspan.daemon.loop import READ, WRITE, Loop

#: The capacity that is asked for each pipe, in bytes, and the most that one splice moves.
CAPACITY = 1 << 18
#: Pipes that are kept for the next transfer. A connection has them only while bytes are on their way.
_SPARE = 64
#: How often a direction may read and write before it is another connection's turn.
_ROUNDS = 8
_FLAGS = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
_RESET = struct.pack("ii", 1, 0)  # struct linger: close() sends a reset (socket(7), SO_LINGER)

Pipe = tuple[int, int]


def reset(sock: socket.socket) -> None:
    """Close a socket so that its peer receives a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


class Pipes:
    """Empty pipes, as (end to read from, end to write to)."""

    def __init__(self) -> None:
        self._spare: list[Pipe] = []

    def take(self) -> Pipe:
        """An empty pipe. Raises OSError."""
        if self._spare:
            return self._spare.pop()
        pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with suppress(OSError):
            fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, CAPACITY)
        return pipe

    def give_back(self, pipe: Pipe, *, empty: bool) -> None:
        """Keep a pipe for the next one, or close it if something is left in it."""
        if empty and len(self._spare) < _SPARE:
            self._spare.append(pipe)
        else:
            os.close(pipe[0])
            os.close(pipe[1])


class Direction:
    """The bytes from one socket to another. `ended`: the source has sent its FIN; `closed`: so have we."""

    def __init__(self, source: socket.socket, sink: socket.socket, pipes: Pipes) -> None:
        self._source, self._sink = source, sink
        self._pipes = pipes
        self._pipe: Pipe | None = None
        self.pending = 0
        self.ended = self.closed = False

    @property
    def reads(self) -> bool:
        """Whether it waits for its source."""
        return not self.pending and not self.ended

    def move(self) -> bool:
        """Move what can be moved now; False if one of the two sockets is broken."""
        try:
            self._move()
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Give the pipe back, whatever is in it."""
        if self._pipe is not None:
            self._pipes.give_back(self._pipe, empty=not self.pending)
            self._pipe = None

    def _move(self) -> None:
        for _ in range(_ROUNDS):
            if not (self.pending or self._fill()) or not self._drain():
                break
        if not self.pending:
            self.release()
            if self.ended and not self.closed:
                self.closed = True
                self._sink.shutdown(socket.SHUT_WR)

    def _fill(self) -> bool:
        if self.ended:
            return False
        if self._pipe is None:
            self._pipe = self._pipes.take()
        try:
            self.pending = os.splice(self._source.fileno(), self._pipe[1], CAPACITY, flags=_FLAGS)
        except BlockingIOError:
            return False
        self.ended = not self.pending
        return not self.ended

    def _drain(self) -> bool:
        """Whether all of it went."""
        assert self._pipe is not None  # noqa: S101 - something is pending
        with suppress(BlockingIOError):
            self.pending -= os.splice(self._pipe[0], self._sink.fileno(), self.pending, flags=_FLAGS)
        return not self.pending


class Connection:
    """A client, and our socket towards the container. Closes both at the end, then calls `done`."""

    def __init__(self, loop: Loop, client: socket.socket, server: socket.socket, pipes: Pipes) -> None:
        self._loop = loop
        self._client, self._server = client, server
        self._up = Direction(client, server, pipes)
        self._down = Direction(server, client, pipes)
        self._watched: dict[socket.socket, int | None] = {client: None, server: None}
        self.done: Callable[[], None] = lambda: None

    def open(self, address: tuple[str, int]) -> None:
        """Connect with the container and relay; a container that refuses resets the client."""
        error = self._server.connect_ex(address)
        if error not in (0, errno.EINPROGRESS):
            self.reset()
            return
        self._watch(self._client, 0, self.reset)  # called only if the client resets
        self._watch(self._server, WRITE, self._connected)

    def _connected(self) -> None:
        if self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.reset()
            return
        for sock in self._watched:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watched = dict.fromkeys(self._watched)
        self._move()

    def _move(self) -> None:
        # Both, whichever is broken: what was received before a reset is still delivered.
        if not all([self._up.move(), self._down.move()]):
            self.reset()
            return
        if self._up.closed and self._down.closed:
            self._close()
            return
        self._wait(self._client, self._up, self._down)
        self._wait(self._server, self._down, self._up)

    def _wait(self, sock: socket.socket, reader: Direction, writer: Direction) -> None:
        """Wait for what is needed of a socket that one direction reads from and the other writes to."""
        events = (READ if reader.reads else 0) | (WRITE if writer.pending else 0)
        if events:
            self._watch(sock, events, self._move)
        elif writer.closed:
            # Both sides of it may be shut down, which epoll reports for ever.
            self._watched[sock] = None
            self._loop.unwatch(sock)
        else:
            self._watch(sock, 0, self.reset)

    def _watch(self, sock: socket.socket, events: int, action: Callable[[], None]) -> None:
        if self._watched[sock] != events:
            self._watched[sock] = events
            self._loop.watch(sock, events, action)

    def reset(self) -> None:
        """End it with a reset on both sides."""
        for sock in self._watched:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._close()

    def _close(self) -> None:
        self._up.release()
        self._down.release()
        for sock in self._watched:
            self._loop.close(sock)
        self.done()
