"""Holding ports of the loopback addresses of the machine that runs the tests."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from linkspan.cni.errors import KernelRefused, PortTaken
from linkspan.cni.model import Attachment
from linkspan.ports.held import HeldPorts
from linkspan.ports.sockets import Sockets
from linkspan.ports.table import HeldPort

WEB, WEB2 = Attachment("net", "web", "eth0"), Attachment("other", "web", "eth1")
DB = Attachment("net", "db", "eth0")
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def free(protocol: str) -> HeldPort:
    """A port that nobody has."""
    with closing(socket.socket(socket.AF_INET, KINDS[protocol])) as sock:
        sock.bind(("127.0.0.1", 0))
        return HeldPort(protocol=protocol, address="127.0.0.1", port=sock.getsockname()[1])


def can_bind(port: HeldPort, address: str) -> bool:
    with closing(socket.socket(socket.AF_INET, KINDS[port.protocol])) as sock:
        try:
            sock.bind((address, port.port))
        except OSError:
            return False
        return True


@pytest.fixture
def held() -> Iterator[HeldPorts]:
    made = HeldPorts(Sockets())
    yield made
    made.close()


@pytest.mark.parametrize("protocol", KINDS)
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_held_port_cannot_be_bound_by_others(held: HeldPorts, protocol: str, address: str) -> None:
    port = free(protocol)
    held.hold(WEB, port)
    assert not can_bind(port, address)


@pytest.mark.parametrize("protocol", KINDS)
def test_released_port_can_be_bound_again(held: HeldPorts, protocol: str) -> None:
    port = free(protocol)
    held.hold(WEB, port)
    held.release(WEB, port)
    assert can_bind(port, "127.0.0.1")


def test_connection_to_a_held_port_is_never_accepted(held: HeldPorts) -> None:
    port = free("tcp")
    held.hold(WEB, port)
    with closing(socket.socket()) as client:
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.connect((port.address, port.port))


def test_taken_port_names_the_process_that_has_it(held: HeldPorts) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = HeldPort(protocol="tcp", address="", port=server.getsockname()[1])
        with pytest.raises(PortTaken) as raised:
            held.hold(WEB, port)
    assert raised.value.msg.startswith(f"host port {port} is in use by ")
    assert f"(pid {os.getpid()})" in raised.value.msg
    assert len(held) == 0


def test_port_that_is_held_for_another_container_names_it(held: HeldPorts) -> None:
    port = free("tcp")
    held.hold(WEB, port)
    with pytest.raises(PortTaken, match="is held for container web on network net"):
        held.hold(DB, port)


def test_port_of_all_addresses_is_held_against_one_of_another_container(held: HeldPorts) -> None:
    port = free("udp")
    held.hold(WEB, port)
    with pytest.raises(PortTaken, match="container web"):
        held.hold(DB, HeldPort(protocol="udp", address="", port=port.port))


def test_networks_of_a_container_hold_a_port_together(held: HeldPorts) -> None:
    port = free("tcp")
    held.hold(WEB, port)
    held.hold(WEB2, port)
    held.release(WEB, port)
    assert not can_bind(port, "127.0.0.1")
    assert tuple(held.all()) == ((WEB2, port),)


def test_holding_twice_is_holding_once(held: HeldPorts) -> None:
    port = free("tcp")
    held.hold(WEB, port)
    held.hold(WEB, port)
    held.release(WEB, port)
    assert len(held) == 0


def test_releasing_what_is_not_held_is_fine(held: HeldPorts) -> None:
    held.release(WEB, free("tcp"))
    assert held.sockets == ()


def test_address_that_the_host_does_not_have_cannot_be_held(held: HeldPorts) -> None:
    with pytest.raises(KernelRefused, match=r"refused to hold the port 80/tcp on 192\.0\.2\.1"):
        held.hold(WEB, HeldPort(protocol="tcp", address="192.0.2.1", port=80))
