"""The master process: greets executables, keeps their calls in order, and keeps workers alive.

It never carries out a call itself, so it greets at once however busy the workers are. It and the worker
both hold a launcher's connection: the launcher sees the end of it only when neither is left, so never while
a worker could still act for it.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from linkspan.daemon import namespace
from linkspan.daemon.control import Endpoint
from linkspan.daemon.log import say
from linkspan.daemon.loop import READ, Loop
from linkspan.daemon.presence import Presence
from linkspan.daemon.services import RESIDENT
from linkspan.daemon.upgrade import installed_build
from linkspan.host.linux.procfs import end_session
from linkspan.launch import protocol
from linkspan.workers import worker
from linkspan.workers.child import leave_parent
from linkspan.workers.deletions import Deletions
from linkspan.workers.supervision import Supervision

#: Workers kept ready. Calls wait on the kernel and on each other's locks more than on processors.
WORKERS = 4
#: Seconds without a call after which the resident leaves; the next standalone ADD starts another.
IDLE = 1800.0
#: Seconds after which a call is considered hung and its worker is killed. Runtimes give up after two
#: minutes or later.
HUNG = 100.0
#: Seconds without progress of any worker after which calls that wait get workers of their own, up to MOST
#: workers: nobody waits for a call that hangs.
STALLED = 1.0
MOST = 32
#: Workers that may die before they begin a call, until its launcher is told that it failed.
TRIES = 3
#: Seconds between checks of all that time brings about.
TICK = 1.0


@dataclass(slots=True)
class Call:
    """A launcher's connection, and how often it was given to a worker."""

    connection: socket.socket
    tries: int = 0


@dataclass(slots=True)
class Worker:
    """One worker process, our end of its channel, and the call it serves since when."""

    pid: int
    channel: socket.socket
    call: Call | None = None
    since: float = 0.0


class Master:
    """Listener, waiting calls and workers of one network namespace."""

    def __init__(
        self, path: str, *, idle: float = IDLE, hung: float = HUNG, has_workers: bool = True
    ) -> None:
        self._idle, self._hung = idle, hung
        self._has_workers = has_workers
        self._build = protocol.build()
        self._greeting = protocol.greeting()
        self._loop = Loop(lambda error: say(f"master {os.getpid()}: {error!r}"))
        self._endpoint = Endpoint(path)
        self._greeted: dict[socket.socket, float] = {}
        self._waiting: deque[Call] = deque()
        self._workers: dict[int, Worker] = {}
        self._deletions = Deletions(self._loop, self._enqueue)
        self._leaving = False
        self._last_call = time.monotonic()

    def run(self) -> None:
        """Serve until there is a reason to leave, such as SIGTERM; then let the running calls end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.on_signal(number, lambda: self._leave("it was told to"))
        worker.preload()
        gc.collect()
        gc.freeze()
        self._loop.watch(self._endpoint.sock, READ, self._accept)
        self._loop.every(TICK, self._check)
        self._deletions.watch()
        namespace.watch(self._loop, lambda: self._leave("nobody else keeps this network namespace"))
        self._complete()
        self._supervision = Supervision(self._loop, self._is_busy)
        self._presence = Presence(
            self._loop, RESIDENT, self._endpoint_in_place, self._reopen, lambda: self._leave("another serves")
        )
        say(f"resident {os.getpid()} serves {self._endpoint.path}")
        self._loop.run()
        self._close()

    # --- launchers --------------------------------------------------------------------------------

    def _accept(self) -> None:
        connection = self._endpoint.accept()
        if connection is None:
            return
        if self._leaving:
            connection.close()
            return
        with suppress(OSError):
            connection.sendall(self._greeting)
        self._greeted[connection] = time.monotonic()
        self._loop.watch(connection, READ, lambda: self._enqueue(connection))

    def _endpoint_in_place(self) -> bool:
        return self._endpoint.in_place()

    def _reopen(self) -> None:
        """Our files were removed."""
        self._loop.close(self._endpoint.sock)
        self._endpoint = Endpoint(self._endpoint.path)
        self._loop.watch(self._endpoint.sock, READ, self._accept)
        self._supervision.reopen()

    def _enqueue(self, connection: socket.socket) -> None:
        """A launcher has begun to send its call."""
        self._loop.unwatch(connection)
        self._greeted.pop(connection, None)
        self._last_call = time.monotonic()
        self._waiting.append(Call(connection))
        if not self._has_workers and not worker.hung_up(connection):
            self._has_workers = True
            self._complete()
        self._assign()

    def _assign(self) -> None:
        """Give waiting calls to free workers, oldest first; a call whose launcher is gone is never begun."""
        free = [each for each in self._workers.values() if each.call is None]
        while free and self._waiting:
            call = self._waiting.popleft()
            if worker.hung_up(call.connection):
                call.connection.close()
                continue
            chosen = free.pop()
            try:
                socket.send_fds(chosen.channel, [b"call"], [call.connection.fileno()])
            except OSError:
                self._waiting.appendleft(call)
                continue
            call.tries += 1
            chosen.call, chosen.since = call, time.monotonic()

    # --- workers ----------------------------------------------------------------------------------

    def _complete(self) -> None:
        """Start the workers that are missing."""
        while self._has_workers and len(self._workers) < WORKERS:
            self._add_worker()

    def _add_worker(self) -> None:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            _run_worker(its)
        its.close()
        added = Worker(pid, ours)
        self._workers[pid] = added
        self._loop.watch(ours, READ, lambda: self._on_message(added))

    def _on_message(self, sender: Worker) -> None:
        """A worker has finished a call, or its last, or it is gone."""
        try:
            message = sender.channel.recv(16)
        except OSError:
            message = b""
        if message:
            if sender.call is not None:
                sender.call.connection.close()
            sender.call = None
            self._last_call = time.monotonic()
        is_surplus = len(self._workers) > WORKERS and not self._waiting
        if message != worker.DONE or is_surplus:
            self._remove(sender)
        self._assign()
        self._stop_when_done()

    def _remove(self, gone: Worker) -> None:
        """Make sure that a worker is dead with what it started, and only then let its launcher know."""
        self._loop.close(gone.channel)
        del self._workers[gone.pid]
        if gone.call is not None:
            with suppress(ProcessLookupError):
                os.kill(gone.pid, signal.SIGKILL)
            os.waitid(os.P_PID, gone.pid, os.WEXITED | os.WNOWAIT)
            end_session(gone.pid)
        _, status = os.waitpid(gone.pid, 0)
        if gone.call is not None:
            say(f"worker {gone.pid} was lost during a call ({os.waitstatus_to_exitcode(status)})")
            self._give_back(gone.call)
        if self._waiting or not self._leaving:
            self._complete()
        self._assign()

    def _give_back(self, call: Call) -> None:
        """A call that the lost worker had not begun is the next; of another its launcher hears the end."""
        if call.tries < TRIES and not worker.is_begun(call.connection):
            self._waiting.appendleft(call)
        else:
            call.connection.close()

    def _is_busy(self) -> bool:
        return bool(self._waiting) or any(each.call is not None for each in self._workers.values())

    # --- what time brings about -------------------------------------------------------------------

    def _check(self) -> None:
        now = time.monotonic()
        self._kill_hung_workers(now)
        self._relieve(now)
        self._drop_silent_launchers(now)
        if not self._leaving:
            if self._greeted or self._is_busy() or self._deletions.any_kept():
                self._last_call = now
            if now - self._last_call > self._idle and not self._supervision.has_attachments():
                self._leave("there were no calls, and nothing is attached")
            elif installed_build() != self._build:
                self._leave("another build is installed")
        self._stop_when_done()

    def _kill_hung_workers(self, now: float) -> None:
        for each in tuple(self._workers.values()):
            if each.call is not None and now - each.since > self._hung:
                say(f"worker {each.pid} was busy for {self._hung:.0f} s and is killed, with what it started")
                self._remove(each)

    def _relieve(self, now: float) -> None:
        """Add workers for the calls that wait while every worker is in a call that does not end."""
        begun = [each.since for each in self._workers.values() if each.call is not None]
        stalled = len(begun) == len(self._workers) and now - max(begun, default=0.0) > STALLED
        if stalled:
            for _ in range(min(len(self._waiting), MOST - len(self._workers))):
                self._add_worker()
            self._assign()

    def _drop_silent_launchers(self, now: float) -> None:
        for connection, since in tuple(self._greeted.items()):
            if now - since > worker.PATIENCE:
                del self._greeted[connection]
                self._loop.close(connection)

    def _leave(self, why: str) -> None:
        """Take no more calls, and end once those that were taken have ended."""
        if not self._leaving:
            say(f"resident {os.getpid()} leaves: {why}")
            self._leaving = True
            self._presence.end()
            self._endpoint.unlink()
            self._stop_when_done()

    def _stop_when_done(self) -> None:
        if self._leaving and not self._is_busy():
            self._loop.stop()

    def _close(self) -> None:
        self._supervision.close()
        self._endpoint.close()
        for each in self._workers.values():
            each.channel.close()
        for pid in self._workers:
            os.waitpid(pid, 0)


def _run_worker(channel: socket.socket) -> None:
    """In the child: drop what is the master's, then work. Never returns."""
    try:
        leave_parent(channel)
        worker.work(channel)
        worker.succeed_supervisor(channel)
    except BaseException as error:  # the last place where it can be seen
        say(f"worker {os.getpid()} ends: {error!r}")
    finally:
        os._exit(0)
