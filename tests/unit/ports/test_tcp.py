"""Relaying TCP connections on the loopback address; what the kernel tells of a redirection is made up."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest

from linkspan.netfilter.relay import RelayedPort
from linkspan.ports import tcp
from linkspan.ports.tcp import TcpRelay
from tests.harness.patience import until
from tests.unit.ports.conftest import Running

RESET = struct.pack("ii", 1, 0)
PATIENCE = 5.0


class Rig:
    """A relay, and the container's listener that it leads to. `leads` is whether it finds the port."""

    def __init__(self, running: Running, descriptors: int = 1000) -> None:
        self.container = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.container.settimeout(PATIENCE)
        self.leads = True
        self.relay = TcpRelay(running.loop, lambda *_: self._port() if self.leads else None, descriptors)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.listener.setblocking(False)
        self.relay.listen(4, self.listener)
        running.start()

    def _port(self) -> RelayedPort:
        address, port = self.container.getsockname()
        return RelayedPort(
            family=4, protocol="tcp", host_ip="", host_port=80, address=address, container_port=port
        )

    def connect(self) -> socket.socket:
        client = socket.create_connection(self.listener.getsockname(), PATIENCE)
        client.settimeout(PATIENCE)
        return client

    def accept(self) -> socket.socket:
        server, _ = self.container.accept()
        server.settimeout(PATIENCE)
        return server

    def close(self) -> None:
        for each in (self.container, self.listener):
            each.close()


@pytest.fixture
def make(running: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Rig]]:
    monkeypatch.setattr(tcp, "original_destination", lambda _: ("127.0.0.1", 80))
    made: list[Rig] = []

    def rig(**options: int) -> Rig:
        made.append(Rig(running, **options))
        return made[-1]

    yield rig
    running.stop()
    for each in made:
        each.close()


def received(sock: socket.socket) -> bytes:
    """All until the other side ends."""
    data = bytearray()
    while piece := sock.recv(1 << 16):
        data += piece
    return bytes(data)


def test_bytes_go_both_ways(make: Callable[..., Rig]) -> None:
    rig = make()
    with closing(rig.connect()) as client, closing(rig.accept()) as server:
        client.sendall(b"question")
        assert server.recv(100) == b"question"
        server.sendall(b"answer")
        assert client.recv(100) == b"answer"


def test_end_of_one_direction_leaves_the_other_open(make: Callable[..., Rig]) -> None:
    rig = make()
    with closing(rig.connect()) as client, closing(rig.accept()) as server:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert received(server) == b"question"
        server.sendall(b"late answer")
        server.close()
        assert received(client) == b"late answer"
    until(lambda: not rig.relay.connections, "the connection to end")


def test_server_may_end_its_direction_first(make: Callable[..., Rig]) -> None:
    rig = make()
    with closing(rig.connect()) as client, closing(rig.accept()) as server:
        server.shutdown(socket.SHUT_WR)
        assert received(client) == b""
        client.sendall(b"x" * 1_000_000)
        client.close()
        assert len(received(server)) == 1_000_000
    until(lambda: not rig.relay.connections, "the connection to end")


def test_large_transfer_arrives_unchanged(make: Callable[..., Rig]) -> None:
    rig = make()
    data = os.urandom(1 << 20) * 32
    with closing(rig.connect()) as client, closing(rig.accept()) as server:
        arrived = hashlib.sha256()
        client.setblocking(False)
        sent = 0
        while sent < len(data):
            with suppress(BlockingIOError):
                sent += client.send(data[sent : sent + (1 << 20)])
            with suppress(BlockingIOError):
                arrived.update(server.recv(1 << 20, socket.MSG_DONTWAIT))
        client.close()
        arrived.update(received(server))
        assert arrived.digest() == hashlib.sha256(data).digest()


def test_receiver_that_does_not_read_stops_its_sender(make: Callable[..., Rig]) -> None:
    """Only the buffers of sockets and a pipe are filled, and all that was sent arrives in the end."""
    rig = make()
    with closing(rig.connect()) as client, closing(rig.accept()) as server:
        client.settimeout(0.5)
        sent = 0
        with suppress(TimeoutError):
            while sent < 1 << 30:
                sent += client.send(b"x" * (1 << 20))
        assert sent < 1 << 28
        client.close()
        assert len(received(server)) == sent


def test_reset_of_the_client_reaches_the_server(make: Callable[..., Rig]) -> None:
    rig = make()
    client = rig.connect()
    with closing(rig.accept()) as server:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()
        with pytest.raises(ConnectionResetError):
            received(server)


def test_reset_of_the_server_reaches_the_client_after_its_last_words(make: Callable[..., Rig]) -> None:
    rig = make()
    with closing(rig.connect()) as client:
        server = rig.accept()
        server.sendall(b"last words")
        until(lambda: client.recv(100, socket.MSG_PEEK) == b"last words", "the last words")
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        server.close()
        assert client.recv(100) == b"last words"
        with pytest.raises(ConnectionResetError):
            client.recv(100)


def test_client_is_reset_where_the_container_refuses(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.container.shutdown(socket.SHUT_RDWR)  # no longer listening, and the port is still known
    with pytest.raises(ConnectionResetError), closing(rig.connect()) as client:
        client.recv(100)
    until(lambda: not rig.relay.connections, "the connection to end")


def test_client_is_reset_where_the_port_leads_nowhere(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.leads = False
    with pytest.raises(ConnectionResetError), closing(rig.connect()) as client:
        client.recv(100)


def test_clients_wait_while_descriptors_are_scarce_and_are_served_later(make: Callable[..., Rig]) -> None:
    rig = make(descriptors=4 * (len(os.listdir("/proc/self/fd")) + 30))
    clients = [rig.connect() for _ in range(40)]
    servers = [rig.accept()]
    rig.container.settimeout(0.3)
    with suppress(TimeoutError):
        while True:
            servers.append(rig.accept())
    served_at_first = len(servers)
    rig.container.settimeout(PATIENCE)
    while len(servers) < len(clients):
        servers[len(servers) - served_at_first].close()
        clients[len(servers) - served_at_first].close()
        servers.append(rig.accept())
    assert served_at_first < len(clients)
    for each in (*clients, *servers):
        each.close()


def test_closing_a_family_refuses_new_clients_and_keeps_the_others(make: Callable[..., Rig]) -> None:
    rig = make()
    with closing(rig.connect()) as client, closing(rig.accept()) as server:
        rig.relay.close(4)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", client.getpeername()[1]), PATIENCE)
        client.sendall(b"still there")
        assert server.recv(100) == b"still there"


def test_idle_connections_have_no_pipes(make: Callable[..., Rig]) -> None:
    rig = make()
    before = len(os.listdir("/proc/self/fd"))
    pairs = []
    for _ in range(20):
        client = rig.connect()
        server = rig.accept()
        client.sendall(b"x")
        assert server.recv(1) == b"x"
        pairs.append((client, server))
    # Two of the test and two of the relay for each, and the pipes that are kept for the next transfer.
    until(lambda: len(os.listdir("/proc/self/fd")) - before <= 20 * 4 + 4, "the pipes to be given back")
    for client, server in pairs:
        client.close()
        server.close()
