"""Listening on a loopback address: datagrams and connections, and what a client may use up."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from cni_dns.server import listen
from cni_dns.server.listen import Listener
from linkspan.cni.errors import KernelRefused, PortTaken
from linkspan.daemon.loop import Loop

ADDRESS = "127.0.2.1"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A port that is free for UDP and TCP, in the place of 53."""
    with socket.create_server((ADDRESS, 0)) as probe:
        number = int(probe.getsockname()[1])
    monkeypatch.setattr(listen, "PORT", number)
    return number


def slow_path(data: bytes, client: str, tcp: bool, answer: Callable[[bytes], None]) -> None:
    """Answers with what it was given and by whom."""
    answer(b"slow " + data + f" {client} {tcp}".encode())


@pytest.fixture
def listener(port: int) -> Iterator[Listener]:
    """A listener in a thread, which answers b"fast" by itself and has the slow path answer all else."""
    loop = Loop(lambda error: pytest.fail(repr(error)))
    made = Listener(loop, "lo", ADDRESS, lambda data, _: b"FAST" if data == b"fast" else None, slow_path)
    loop.every(0.005, lambda: None)
    thread = threading.Thread(target=loop.run)
    thread.start()
    yield made
    loop.stop()
    thread.join()
    made.close()


def udp(port: int, data: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2.0)
        sock.sendto(data, (ADDRESS, port))
        return sock.recv(4096)


def tcp(port: int) -> socket.socket:
    return socket.create_connection((ADDRESS, port), timeout=2.0)


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


@pytest.mark.usefixtures("listener")
def test_a_datagram_takes_the_fast_path_or_else_the_slow_one(port: int) -> None:
    assert (udp(port, b"fast"), udp(port, b"other")) == (b"FAST", b"slow other 127.0.0.1 False")


@pytest.mark.usefixtures("listener")
def test_queries_on_a_connection_are_answered_in_order_however_they_are_cut(port: int) -> None:
    stream = framed(b"one") + framed(b"two")
    expected = framed(b"slow one 127.0.0.1 True") + framed(b"slow two 127.0.0.1 True")
    with closing(tcp(port)) as sock:
        for at in range(len(stream)):
            sock.sendall(stream[at : at + 1])
        received = b""
        while len(received) < len(expected):
            received += sock.recv(4096)
    assert received == expected


@pytest.mark.usefixtures("listener")
def test_a_query_that_is_too_long_ends_its_connection(port: int) -> None:
    with closing(tcp(port)) as sock:
        sock.sendall(b"\xff\xff")
        assert sock.recv(1) == b""


@pytest.mark.usefixtures("listener")
def test_an_idle_connection_ends(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "_IDLE", 0.05)
    with closing(tcp(port)) as sock:
        assert sock.recv(1) == b""


@pytest.mark.usefixtures("listener")
def test_a_client_has_so_many_connections_and_no_more(port: int) -> None:
    connections = [tcp(port) for _ in range(listen.MOST_PER_CLIENT)]
    with closing(tcp(port)) as one_more:
        assert one_more.recv(1) == b""
    connections[0].sendall(framed(b"x"))
    assert connections[0].recv(4096) == framed(b"slow x 127.0.0.1 True")
    for each in connections:
        each.close()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["udp", "tcp"])
def test_a_port_that_is_taken_is_refused_with_its_owner(port: int, kind: socket.SocketKind) -> None:
    loop = Loop(lambda error: pytest.fail(repr(error)))
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind((ADDRESS, port))
        if kind == socket.SOCK_STREAM:
            other.listen()
        with pytest.raises(PortTaken, match=rf"pid {os.getpid()}"):
            Listener(loop, "lo", ADDRESS, lambda *_: None, slow_path)


def test_a_device_that_does_not_exist_cannot_be_listened_on(port: int) -> None:
    loop = Loop(lambda error: pytest.fail(repr(error)))
    with pytest.raises(KernelRefused, match=f"listen on {ADDRESS} port {port} of nowhere0"):
        Listener(loop, "nowhere0", ADDRESS, lambda *_: None, slow_path)


def test_an_address_can_be_listened_on_before_it_exists(port: int) -> None:
    made = Listener(
        Loop(lambda error: pytest.fail(repr(error))), "lo", "192.0.2.77", lambda *_: None, slow_path
    )
    made.close()
    assert (listen.is_local("192.0.2.77"), listen.is_local(ADDRESS)) == (False, True)
    assert port
