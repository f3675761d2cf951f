"""Hosts in memory and on the kernel find the same listeners."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from linkspan.host.contract import Host
from linkspan.host.linux import LinuxHost
from linkspan.host.memory import MemoryHost
from tests.harness.privatehost import HOST_V4, OUTSIDE_V4, PrivateHost

STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM


@pytest.fixture(params=["memory", pytest.param("linux", marks=pytest.mark.root)])
def listeners(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host with servers on 8080/tcp (one address), 8081/tcp (IPv6) and 5353/udp, and clients that use 9000
    and 9001.
    """
    if request.param == "memory":
        memory = MemoryHost()
        memory.listeners = {("tcp", 8080), ("tcp", 8081), ("udp", 5353)}
        yield memory
        return
    host: PrivateHost = request.getfixturevalue("host")
    with host.entered(), ExitStack() as opened:
        for family, kind, address, port in (
            (socket.AF_INET, STREAM, HOST_V4, 8080),
            (socket.AF_INET6, STREAM, "::", 8081),
            (socket.AF_INET, DATAGRAM, "0.0.0.0", 5353),
        ):
            server = opened.enter_context(socket.socket(family, kind))
            server.bind((address, port))
            if kind == STREAM:
                server.listen()
        tcp = opened.enter_context(socket.socket(socket.AF_INET, STREAM))
        tcp.bind((HOST_V4, 9000))
        tcp.connect((HOST_V4, 8080))
        udp = opened.enter_context(socket.socket(socket.AF_INET, DATAGRAM))
        udp.bind((HOST_V4, 9001))
        udp.connect((OUTSIDE_V4, 53))
        real = LinuxHost()
        yield real
        real.close()


@pytest.mark.parametrize(
    ("protocol", "asked", "found"),
    [
        ("tcp", {8080, 8081, 8082}, {8080, 8081}),
        ("tcp", {5353, 9000}, set()),
        ("udp", {5353, 8080, 9001}, {5353}),
        ("sctp", {8080}, set()),
        ("tcp", set(), set()),
    ],
)
def test_listeners_are_found_and_connected_sockets_are_not(
    listeners: Host, protocol: str, asked: set[int], found: set[int]
) -> None:
    assert listeners.listening(protocol, asked) == found
