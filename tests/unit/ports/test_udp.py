"""Relaying datagrams between sockets of the loopback address."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from linkspan.netfilter.relay import RelayedPort
from linkspan.ports import udp
from linkspan.ports.udp import UdpRelay
from tests.harness.patience import until
from tests.unit.ports.conftest import Running

PATIENCE = 5.0


def bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(PATIENCE)
    return sock


class Rig:
    """A relayed port, and the container's socket that it leads to."""

    def __init__(self, running: Running) -> None:
        self.container: socket.socket | None = bound()
        listener = bound()
        listener.setblocking(False)
        self.address = listener.getsockname()
        self.relay = UdpRelay(running.loop, listener, self._port)
        running.start()

    def _port(self) -> RelayedPort | None:
        if self.container is None:
            return None
        address, port = self.container.getsockname()
        return RelayedPort(
            family=4, protocol="udp", host_ip="", host_port=53, address=address, container_port=port
        )

    def receive(self) -> tuple[bytes, tuple[str, int]]:
        assert self.container is not None
        return self.container.recvfrom(1 << 16)

    def reply(self, data: bytes, to: tuple[str, int]) -> None:
        assert self.container is not None
        self.container.sendto(data, to)


@pytest.fixture
def rig(running: Running) -> Iterator[Rig]:
    made = Rig(running)
    yield made
    running.stop()
    made.relay.close()


def test_answers_come_from_the_address_that_was_sent_to(rig: Rig) -> None:
    with closing(bound()) as client:
        client.sendto(b"question", rig.address)
        data, peer = rig.receive()
        rig.reply(b"answer to " + data, peer)
        assert client.recvfrom(100) == (b"answer to question", rig.address)


def test_each_client_gets_its_own_answers(rig: Rig) -> None:
    with closing(bound()) as one, closing(bound()) as two:
        one.sendto(b"1", rig.address)
        two.sendto(b"2", rig.address)
        for data, peer in (rig.receive(), rig.receive()):
            rig.reply(b"to " + data, peer)
        assert (one.recv(100), two.recv(100)) == (b"to 1", b"to 2")


def test_a_clients_datagrams_come_from_one_port(rig: Rig) -> None:
    with closing(bound()) as client:
        client.sendto(b"1", rig.address)
        client.sendto(b"2", rig.address)
        assert rig.receive()[1] == rig.receive()[1]


@pytest.mark.parametrize("size", [0, 65507])
def test_datagrams_of_any_size_are_relayed(rig: Rig, size: int) -> None:
    with closing(bound()) as client:
        client.sendto(b"x" * size, rig.address)
        data, peer = rig.receive()
        rig.reply(data, peer)
        assert client.recv(1 << 17) == b"x" * size


def test_session_follows_the_port_to_another_container(rig: Rig) -> None:
    with closing(bound()) as client:
        client.sendto(b"1", rig.address)
        rig.receive()
        rig.container = bound()
        client.sendto(b"2", rig.address)
        assert rig.receive()[0] == b"2"


def test_datagram_to_a_port_that_leads_nowhere_is_lost(rig: Rig) -> None:
    container, rig.container = rig.container, None
    with closing(bound()) as client:
        client.sendto(b"lost", rig.address)
        rig.container = container
        client.sendto(b"found", rig.address)
        assert rig.receive()[0] in (b"lost", b"found")


def is_free(address: tuple[str, int]) -> bool:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        try:
            sock.bind(address)
        except OSError:
            return False
        return True


def test_silent_session_ends(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "IDLE", 0.2)
    rig = Rig(running)
    with closing(bound()) as client:
        client.sendto(b"1", rig.address)
        _, session = rig.receive()
        assert not is_free(session)
        until(lambda: is_free(session), "the end of the session")


def test_longest_silent_client_gives_way_to_a_new_one(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp, "SESSIONS", 2)
    rig = Rig(running)
    clients = [bound() for _ in range(3)]
    ports = []
    for client in clients:
        client.sendto(b"x", rig.address)
        ports.append(rig.receive()[1])
    clients[2].sendto(b"x", rig.address)
    clients[0].sendto(b"x", rig.address)
    again = [rig.receive()[1], rig.receive()[1]]
    for client in clients:
        client.close()
    assert again[0] == ports[2]
    assert again[1] != ports[0]
