"""Which process has a socket or a port, as the kernel tells it of sockets that a test opens."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkspan.daemon.control import Endpoint
from linkspan.host.linux import procfs


@pytest.fixture(params=[("127.0.0.2", "udp"), ("127.0.0.2", "tcp"), ("::1", "udp"), ("::1", "tcp")], ids=str)
def bound(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """(address, port) of a socket of ours that receives."""
    address, protocol = request.param
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(family, kind) as sock:
        sock.bind((address, 0))
        if protocol == "tcp":
            sock.listen()
        yield address, sock.getsockname()[1]


def us() -> str:
    return f"{Path('/proc/self/comm').read_text().strip()} (pid {os.getpid()})"


def test_the_owner_of_a_port_is_named(bound: tuple[str, int]) -> None:
    assert procfs.owner_of_port(*bound) == us()


def test_a_port_of_one_address_is_not_one_of_all(bound: tuple[str, int]) -> None:
    assert procfs.owner_of_port_everywhere(bound[1]) == ""


def test_the_owner_of_a_port_of_all_addresses_is_named_for_each() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 0))
        port = sock.getsockname()[1]
        assert procfs.owner_of_port_everywhere(port) == procfs.owner_of_port("127.0.0.9", port) == us()


def test_a_connection_is_not_an_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())
        address, port = client.getsockname()
        assert procfs.owner_of_port(address, port) == "another program"


def test_a_process_with_a_socket_is_found_by_its_inode() -> None:
    with socket.socket() as sock:
        inode = os.fstat(sock.fileno()).st_ino
        assert procfs.process_with_socket({inode}) == os.getpid()
    assert procfs.process_with_socket({inode}) is None


def test_a_listener_at_a_path_is_found_though_the_path_cannot_be_seen(tmp_path: Path) -> None:
    endpoint = Endpoint(str(tmp_path / "sock"))
    os.unlink(tmp_path / "sock")
    assert procfs.process_with_socket(procfs.listeners_at(endpoint.path)) == os.getpid()
    assert procfs.listeners_at(str(tmp_path / "other")) == frozenset()
    endpoint.close()


def test_a_process_that_is_gone_has_no_name() -> None:
    assert procfs.command(2**22 + 1) == ""
