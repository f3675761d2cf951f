"""The resident's master process: greets launchers, keeps their calls in order, and keeps workers alive.

It never carries out a call itself, so it greets at once however busy the workers are. It and the worker both hold a launcher's
connection: the launcher sees the end of it only when neither is left, so never while a worker could still act for it.
"""

from __future__ import annotations

import fcntl
import gc
import os
import select
import signal
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from linkspan import paths
from linkspan.launch import launcher
from linkspan.workers import worker

#: Workers kept ready. Calls wait on the kernel and on each other's locks more than on processors.
WORKERS = 4
#: Seconds without a call after which the resident leaves; the next standalone ADD brings another.
IDLE = 1800.0
#: Seconds after which a call is taken for hung and its worker killed. Runtimes give up after two minutes or later.
HUNG = 100.0
#: Seconds between looks at the clock, and the most the log may hold, in bytes.
TICK, LOG_LIMIT = 1.0, 1 << 20


@dataclass(slots=True)
class Worker:
    """One worker process, our end of its channel, and the connection it serves since when."""

    pid: int
    channel: socket.socket
    connection: socket.socket | None = None
    since: float = 0.0


class Resident:
    """Listener, waiting calls and workers of one network namespace."""

    def __init__(self, state_dir: str, *, idle: float = IDLE, hung: float = HUNG) -> None:
        self._path = paths.socket(state_dir, paths.WORKERS)
        self._idle, self._hung = idle, hung
        self._build = launcher.build()
        self._greeting = launcher.greeting()
        self._listener = _listen(self._path)
        self._inode = os.stat(self._path).st_ino
        self._epoll = select.epoll()
        self._on_event: dict[int, Callable[[], None]] = {}
        self._silent: dict[int, tuple[socket.socket, float]] = {}
        self._waiting: deque[socket.socket] = deque()
        self._workers: dict[int, Worker] = {}
        self._leaving = False
        self._waking: socket.socket | None = None
        self._last_call = time.monotonic()

    def run(self) -> None:
        """Serve until SIGTERM, a newer build, or a long silence; then let the running calls end."""
        woken = self._wake_on_signals()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._leave("told to"))
        worker.preload()
        gc.collect()
        gc.freeze()
        self._watch(self._listener, self._accept)
        self._watch(woken, lambda: _drain(woken))
        for _ in range(WORKERS):
            self._add_worker()
        say(f"resident {os.getpid()} serves {self._path}")
        while not self._leaving or self._busy():
            for descriptor, _ in self._epoll.poll(TICK):
                handler = self._on_event.get(descriptor)
                if handler is not None:
                    handler()
            self._look_around()
        self._close()

    def _wake_on_signals(self) -> socket.socket:
        """What becomes readable when a signal arrives: waiting for events goes on after one by itself (PEP 475)."""
        woken, self._waking = socket.socketpair()
        woken.setblocking(False)
        self._waking.setblocking(False)
        signal.set_wakeup_fd(self._waking.fileno())
        return woken

    # --- launchers ----------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        with suppress(OSError):
            _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if uid == os.geteuid() and not self._leaving:
                connection.sendall(self._greeting)
                self._silent[connection.fileno()] = (connection, time.monotonic())
                self._watch(connection, lambda: self._begins_to_speak(connection))
                return
        connection.close()

    def _begins_to_speak(self, connection: socket.socket) -> None:
        self._forget(connection)
        self._silent.pop(connection.fileno(), None)
        self._last_call = time.monotonic()
        self._waiting.append(connection)
        self._hand_out()

    def _hand_out(self) -> None:
        """Give waiting calls to free workers, oldest first; a call whose launcher is gone is never begun."""
        free = [each for each in self._workers.values() if each.connection is None]
        while free and self._waiting:
            connection = self._waiting.popleft()
            if worker.hung_up(connection):
                connection.close()
                continue
            chosen = free.pop()
            try:
                socket.send_fds(chosen.channel, [b"call"], [connection.fileno()])
            except OSError:
                self._waiting.appendleft(connection)
                continue
            chosen.connection, chosen.since = connection, time.monotonic()

    # --- workers ------------------------------------------------------------------------------------------------------

    def _add_worker(self) -> None:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            _become_worker(its)
        its.close()
        added = Worker(pid, ours)
        self._workers[pid] = added
        self._watch(ours, lambda: self._hear(added))

    def _hear(self, heard: Worker) -> None:
        """A worker is done with a call, or with its last, or it is gone."""
        try:
            message = heard.channel.recv(16)
        except OSError:
            message = b""
        if message:
            if heard.connection is not None:
                heard.connection.close()
            heard.connection = None
            self._last_call = time.monotonic()
        if message != worker.DONE:
            self._bury(heard)
        self._hand_out()

    def _bury(self, gone: Worker) -> None:
        """Make sure that a worker is dead, and only then let its launcher know."""
        self._forget(gone.channel)
        gone.channel.close()
        del self._workers[gone.pid]
        if gone.connection is not None:
            with suppress(ProcessLookupError):
                os.kill(gone.pid, signal.SIGKILL)
        _, status = os.waitpid(gone.pid, 0)
        if gone.connection is not None:
            say(f"worker {gone.pid} was lost during a call ({os.waitstatus_to_exitcode(status)})")
            gone.connection.close()
        if not self._leaving:
            self._add_worker()

    def _busy(self) -> bool:
        return bool(self._waiting) or any(each.connection is not None for each in self._workers.values())

    # --- life ---------------------------------------------------------------------------------------------------------

    def _look_around(self) -> None:
        now = time.monotonic()
        for each in tuple(self._workers.values()):
            if each.connection is not None and now - each.since > self._hung:
                say(
                    f"worker {each.pid} has been busy for {self._hung:.0f} s and is killed, with what it started"
                )
                os.killpg(each.pid, signal.SIGKILL)
                self._bury(each)
        for connection, since in tuple(self._silent.values()):
            if now - since > worker.PATIENCE:
                self._silent.pop(connection.fileno())
                self._forget(connection)
                connection.close()
        if self._leaving:
            return
        if self._silent or self._busy():
            self._last_call = now
        if now - self._last_call > self._idle:
            self._leave("nobody asks")
        elif not self._is_current():
            self._leave("another build, or another socket, is in its place")

    def _is_current(self) -> bool:
        try:
            return launcher.build() == self._build and os.stat(self._path).st_ino == self._inode
        except OSError:
            return False

    def _leave(self, why: str) -> None:
        if not self._leaving:
            say(f"resident {os.getpid()} leaves: {why}")
            self._leaving = True
            self._unlink()

    def _unlink(self) -> None:
        with suppress(OSError):
            if os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)

    def _close(self) -> None:
        self._unlink()
        self._listener.close()
        for each in self._workers.values():
            each.channel.close()
        for pid in self._workers:
            os.waitpid(pid, 0)

    def _watch(self, sock: socket.socket, handler: Callable[[], None]) -> None:
        self._on_event[sock.fileno()] = handler
        self._epoll.register(sock, select.EPOLLIN)

    def _forget(self, sock: socket.socket) -> None:
        self._on_event.pop(sock.fileno(), None)
        self._epoll.unregister(sock)


def _drain(sock: socket.socket) -> None:
    with suppress(BlockingIOError):
        sock.recv(64)


def _become_worker(channel: socket.socket) -> None:
    """In the child: drop what is the master's, then work. Never returns."""
    try:
        signal.set_wakeup_fd(-1)
        os.setsid()  # a group of its own: what hangs can be killed with all that it started
        os.closerange(3, channel.fileno())
        os.closerange(channel.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
        worker.work(channel)
    except BaseException as error:  # the last place where it can be seen
        say(f"worker {os.getpid()} ends: {error!r}")
    finally:
        os._exit(0)


def _listen(path: str) -> socket.socket:
    """A socket at `path`; it appears there only when it listens. The lock's holder may replace what is there."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    aside = f"{path}.{os.getpid()}"
    with suppress(FileNotFoundError):
        os.unlink(aside)
    listener.bind(aside)
    os.chmod(aside, 0o600)
    listener.listen(1024)
    os.rename(aside, path)
    return listener


def say(message: str) -> None:
    """One line to stderr, which is the log; the log starts over when it is full."""
    with suppress(OSError):
        if os.fstat(2).st_size > LOG_LIMIT:
            os.ftruncate(2, 0)
    with suppress(OSError):
        os.write(2, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n".encode())


def take_lock(state_dir: str) -> int | None:
    """The lock that the one resident of a namespace holds, or None if another has it."""
    path = paths.only_one(state_dir, paths.WORKERS)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def main() -> int:
    """Be the resident of this network namespace; at once 0 if there is one. A lock handed down as descriptor 3 counts."""
    from linkspan.host.linux.files import LinuxFiles
    from linkspan.host.linux.processes import name_this_process

    state_dir = paths.state_dir()
    if "--locked" not in sys.argv:
        LinuxFiles(state_dir).make_folder(state_dir)
        if take_lock(state_dir) is None:
            return 0
    os.chdir("/")
    os.umask(0o077)
    name_this_process("linkspan")
    Resident(state_dir).run()
    return 0
