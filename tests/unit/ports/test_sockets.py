"""Binding sockets, anew and as an earlier build left them."""

from __future__ import annotations

import os
import socket
from contextlib import closing

import pytest

from linkspan.ports.sockets import Sockets


def test_preferred_port_is_taken_if_it_is_free() -> None:
    with closing(Sockets().bind_any(4, "tcp", 0)) as first:
        port = first.getsockname()[1]
    with closing(Sockets().bind_any(4, "tcp", port)) as second:
        assert second.getsockname() == ("127.0.0.1", port)


def test_another_port_is_taken_if_the_preferred_one_is_not_free() -> None:
    with closing(Sockets().bind_any(4, "udp", 0)) as first:
        port = first.getsockname()[1]
        with closing(Sockets().bind_any(4, "udp", port)) as second:
            assert second.getsockname()[1] not in (0, port)


def test_port_is_none_that_outgoing_connections_get() -> None:
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        highest = int(file.read().split()[1])
    with closing(Sockets().bind_any(4, "tcp", 0)) as sock:
        assert sock.getsockname()[1] > highest


def kept() -> socket.socket:
    """A listening socket as the build after the one that bound it finds it."""
    return socket.socket(fileno=socket.create_server(("127.0.0.1", 0)).detach())


def test_inherited_socket_is_used_as_it_is() -> None:
    with closing(kept()) as inherited:
        assert Sockets([inherited]).bind(4, "tcp", *inherited.getsockname()) is inherited


def test_inherited_socket_of_another_protocol_is_not_used() -> None:
    with (
        closing(kept()) as inherited,
        closing(Sockets([inherited]).bind(4, "udp", *inherited.getsockname())) as bound,
    ):
        assert bound.type == socket.SOCK_DGRAM


def test_inherited_socket_that_nothing_needs_is_closed() -> None:
    inherited = kept()
    Sockets([inherited]).close()
    assert inherited.fileno() == -1


def test_failed_bind_leaves_no_socket_open() -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="assign requested address"):
        Sockets().bind(4, "tcp", "192.0.2.1", 80)
    assert os.listdir("/proc/self/fd") == before
