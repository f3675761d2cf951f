"""Hosts in memory and on the kernel find the same listeners, and the processes that have them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from linkspan.host.contract import Host, Process
from linkspan.host.linux import LinuxHost
from linkspan.host.memory import MemoryHost
from tests.harness.privatehost import HOST_V4, OUTSIDE_V4, PrivateHost

STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
#: (protocol, address, port, whether an IPv6 socket receives IPv4 too)
SERVERS = (
    ("tcp", HOST_V4, 8080, False),
    ("tcp", "::", 8081, True),
    ("tcp", "::", 8082, False),
    ("tcp", "127.0.0.1", 8083, False),
    ("tcp", "::1", 8083, False),
    ("tcp", "::ffff:127.0.0.1", 8084, True),
    ("udp", "0.0.0.0", 5353, False),
)


def opened(protocol: str, address: str, port: int, *, both: bool) -> socket.socket:
    """A server of the kernel."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.socket(family, STREAM if protocol == "tcp" else DATAGRAM)
    if family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
    server.bind((address, port))
    if protocol == "tcp":
        server.listen()
    return server


@pytest.fixture(params=["memory", pytest.param("linux", marks=pytest.mark.root)])
def listeners(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host with SERVERS, which this process has, and clients that use 9000 and 9001."""
    if request.param == "memory":
        memory = MemoryHost()
        us = Process(pid=os.getpid(), uid=os.getuid(), name="pytest", arguments=("pytest",))
        for protocol, address, port, both in SERVERS:
            every = both and address == "::"
            memory.listen(protocol, port, "" if every else address.removeprefix("::ffff:"), us)
        yield memory
        return
    host: PrivateHost = request.getfixturevalue("host")
    with host.entered(), ExitStack() as open_sockets:
        for protocol, address, port, both in SERVERS:
            open_sockets.enter_context(opened(protocol, address, port, both=both))
        tcp = open_sockets.enter_context(socket.socket(socket.AF_INET, STREAM))
        tcp.bind((HOST_V4, 9000))
        tcp.connect((HOST_V4, 8080))
        udp = open_sockets.enter_context(socket.socket(socket.AF_INET, DATAGRAM))
        udp.bind((HOST_V4, 9001))
        udp.connect((OUTSIDE_V4, 53))
        real = LinuxHost()
        yield real
        real.close()


@pytest.mark.parametrize(
    ("protocol", "asked", "found"),
    [
        ("tcp", {8080, 8085}, {(HOST_V4, 8080)}),
        ("tcp", {8081}, {("0.0.0.0", 8081), ("::", 8081)}),
        ("tcp", {8082}, {("::", 8082)}),
        ("tcp", {8083}, {("127.0.0.1", 8083), ("::1", 8083)}),
        ("tcp", {8084}, {("127.0.0.1", 8084)}),
        ("tcp", {5353, 9000}, set()),
        ("udp", {5353, 8080, 9001}, {("0.0.0.0", 5353)}),
        ("sctp", {8080}, set()),
        ("tcp", set(), set()),
    ],
)
def test_listeners_are_found_at_their_addresses_and_connected_sockets_are_not(
    listeners: Host, protocol: str, asked: set[int], found: set[tuple[str, int]]
) -> None:
    seen = listeners.listening(protocol, asked)
    assert {(each.address, each.port) for each in seen} == found
    assert {each.protocol for each in seen} <= {protocol}


def test_a_socket_of_both_families_is_two_listeners_with_one_inode(listeners: Host) -> None:
    assert len({each.inode for each in listeners.listening("tcp", {8081})}) == 1


def test_the_process_that_has_a_socket_is_found_by_its_inode(listeners: Host) -> None:
    (listener,) = listeners.listening("tcp", {8080})
    found = listeners.processes.with_sockets({listener.inode, 1})
    ((process,),) = found.values()
    assert (set(found), process.pid, process.uid) == ({listener.inode}, os.getpid(), os.getuid())
    assert process.name
    assert process.arguments


def test_only_the_given_processes_are_looked_at(listeners: Host) -> None:
    (listener,) = listeners.listening("tcp", {8080})
    given = listeners.processes.with_sockets
    assert given({listener.inode}, (os.getpid(), 2**22 + 1)).keys() == {listener.inode}
    assert given({listener.inode}, (os.getppid(), 2**22 + 1)) == {}
    assert given((), None) == {}
