"""A worker: one call at a time, with libraries loaded and sockets open."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from array import array
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from linkspan.call import dispatch
from linkspan.daemon.log import say
from linkspan.daemon.partner import start_if_killed
from linkspan.daemon.service import TITLE
from linkspan.daemon.services import RESIDENT, LinuxServices
from linkspan.launch import protocol

if TYPE_CHECKING:
    from linkspan.host.linux import SharedSockets

#: Seconds for a launcher that has begun to speak to finish, and for one to take its answer.
PATIENCE = 5.0
#: Calls after which a worker is replaced by a fresh one, should some library leak.
CALLS = 2000
#: Seconds between the workers of a killed supervisor.
_APART = 0.05
#: What a worker tells its master after a call, and after its last one: then it must be given no other.
DONE, LAST = b"done", b"last"
_DESCRIPTOR = array("i").itemsize


def preload() -> None:
    """Import all that a call may need, so that workers share it. Opens nothing."""
    from importlib import import_module

    from linkspan.call import plugin
    from linkspan.cni import schema

    for name in plugin.MODULES:
        schema.validator(plugin.load(name).schema)
        _import_verbs(plugin.MODULES[name].rpartition(".")[0])
    for name in (
        "linkspan.call.delegate",
        "linkspan.netfilter.iptables_check",
        "linkspan.steps.masquerade",
        "linkspan.steps.nft_table",
        "linkspan.host.linux.netlink.conntrack",
        "linkspan.host.linux.iptables.tables",
        "linkspan.host.linux.nftables",
        "linkspan.host.linux.links",
        "linkspan.host.linux.netlink.sock_diag",
    ):
        import_module(name)


def _import_verbs(package: str) -> None:
    """Import what a plugin's verbs import only when they are called."""
    from importlib import import_module
    from pkgutil import iter_modules

    for found in iter_modules(import_module(package).__path__):
        if found.name in ("check", "plan"):
            import_module(f"{package}.{found.name}")


def work(channel: socket.socket) -> None:
    """Serve the connections that arrive on `channel` until it is closed."""
    from linkspan.host.linux import SharedSockets
    from linkspan.host.linux.processes import name_this_process

    # The master's end of the channel says when to go; a signal to the whole group must not cut a call
    # short. Unlike an ignored signal, a handler is not passed on to the programs that a call runs.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    name_this_process(f"{TITLE} worker")
    shared = SharedSockets()
    _open_sockets(shared)
    try:
        for left in reversed(range(CALLS)):
            connection = _next(channel)
            if connection is None:
                return
            with connection, suppress(OSError, ValueError):
                serve(connection, shared)
            channel.send(DONE if left else LAST)
    finally:
        shared.close()


def succeed_supervisor(channel: socket.socket) -> None:
    """Start the supervisor again if it was killed.

    Every worker sees that at once, and one start is enough: they ask one after the other.
    """
    if hung_up(channel):
        time.sleep(os.getpid() % 4 * _APART)
        start_if_killed(RESIDENT)


def serve(connection: socket.socket, shared: SharedSockets) -> None:
    """Read one call, carry it out, answer. Raises OSError, ValueError for a launcher that breaks the
    protocol.
    """
    from linkspan.call.plugin import load
    from linkspan.host.linux import LinuxHost

    connection.settimeout(PATIENCE)
    call, descriptors = _receive(connection)
    try:
        plugin = load(call.cni_type)
    except KeyError:
        _close(descriptors.values())
        raise ValueError(f"no plugin {call.cni_type}") from None
    stderr = descriptors.pop(protocol.STDERR, None)
    netns = descriptors.pop(protocol.NETNS, None)
    host = LinuxHost(
        {} if netns is None else {call.env.get("CNI_NETNS", ""): netns},
        stderr=2 if stderr is None else stderr,
        shared=shared,
        services=LinuxServices,
    )
    caller = dispatch.Caller(is_connected=lambda: not hung_up(connection), log=say)
    try:
        status, stdout = dispatch.serve(plugin, call.stdin, call.env, host, cwd=call.cwd, caller=caller)
    finally:
        # Before the answer: a runtime may remove the namespace as soon as it has it, and our descriptor
        # would keep it.
        host.close()
        if stderr is not None:
            os.close(stderr)
    connection.sendall(protocol.reply_frame(status, stdout))


def hung_up(connection: socket.socket) -> bool:
    """Whether the launcher at the other end is gone."""
    poll = select.poll()
    poll.register(connection, 0)
    return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))


def is_begun(connection: socket.socket) -> bool:
    """Whether a worker has read anything of a call: a call's first byte comes with descriptors, and whoever
    reads it takes them. Nobody may be reading.
    """
    size = socket.CMSG_SPACE(4 * _DESCRIPTOR)
    try:
        # Not recv_fds: several versions of Python ignore its flags.
        _, ancillary, _, _ = connection.recvmsg(1, size, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return True
    for _, _, rights in ancillary:
        whole = len(rights) - len(rights) % _DESCRIPTOR
        _close(array("i", rights[:whole]))
    return not ancillary


def _open_sockets(shared: SharedSockets) -> None:
    """Open what the first call would wait for. What the host does not have fails when a call needs it."""
    with suppress(Exception):
        shared.links(lambda _: -1).all()
    with suppress(Exception):
        _ = shared.nftables
    with suppress(Exception):
        _ = shared.boot


def _next(channel: socket.socket) -> socket.socket | None:
    message, descriptors, _, _ = socket.recv_fds(channel, 16, 1)
    if not message or not descriptors:
        return None
    return socket.socket(fileno=descriptors[0])


def _receive(connection: socket.socket) -> tuple[protocol.Call, dict[str, int]]:
    """A call, and the descriptors that came with it by their names."""
    received, rights, _, _ = socket.recv_fds(connection, 1 << 16, 4)
    try:
        while len(received) < 4 or len(received) < 4 + protocol.frame_size(received):
            piece = connection.recv(1 << 16)
            if not piece:
                raise ValueError("the launcher hung up")
            received += piece
        call = protocol.read_call(received[4:])
        if len(call.descriptors) != len(rights):
            raise ValueError("a call with other descriptors than it names")
    except BaseException:
        _close(rights)
        raise
    for descriptor in rights:
        os.set_inheritable(descriptor, False)
    return call, dict(zip(call.descriptors, rights, strict=True))


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
