"""A host port on which somebody else's process listens is refused, and holders of the container's own ports
are not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from linkspan.ports.table import HeldPort
from tests.harness.ports import PortsProcess
from tests.harness.privatehost import HOST_V4, PrivateHost
from tests.harness.world import PluginFailed, World, published, world_of

pytestmark = pytest.mark.root

REFUSE: dict[str, Any] = {"refuseTakenPorts": True}
#: Listens at an address with SO_REUSEPORT until it is killed.
_OCCUPY = r"""
import socket, sys, time
kind, address, port, only_v6 = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "only"
family = socket.AF_INET6 if ":" in address else socket.AF_INET
sock = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
if family == socket.AF_INET6:
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_v6)
sock.bind((address, port))
if kind == "tcp":
    sock.listen()
print("ready", flush=True)
time.sleep(1000)
"""


@contextmanager
def occupied(
    host: PrivateHost, address: str, port: int = 8080, kind: str = "tcp", *more: str
) -> Iterator[int]:
    """Somebody listens; the id of that process. An address that begins with "only " is for IPv6 alone."""
    only, _, bare = address.rpartition(" ")
    argv = [sys.executable, "-ISc", _OCCUPY, kind, bare, str(port), only, *more]
    process = host.popen(argv, stderr=None)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def world(host: PrivateHost) -> Iterator[World]:
    with world_of(host) as made:
        yield made


def refusal(world: World, **mapping: Any) -> str:
    """What ADD says of port 8080 in the fresh container `web`; "" if it publishes it."""
    box = world.box("web")
    try:
        world.publish(box, [published(8080, **mapping)], **REFUSE)
    except PluginFailed as failure:
        return f"{failure.error['code']} {failure.error['msg']}"
    finally:
        world.remove(box)
    return ""


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize(
    ("host_ip", "listens", "taken"),
    [
        ("", "0.0.0.0", True),
        ("", "127.0.0.1", True),
        ("", "::1", True),
        ("0.0.0.0", "::", True),
        ("0.0.0.0", "only ::", False),
        ("::", "0.0.0.0", False),
        ("::", "only ::", True),
        (HOST_V4, "0.0.0.0", True),
        (HOST_V4, HOST_V4, True),
        (HOST_V4, "127.0.0.1", False),
        ("127.0.0.1", HOST_V4, False),
    ],
)
def test_a_port_is_taken_where_nobody_else_could_listen(
    world: World, kind: str, host_ip: str, listens: str, *, taken: bool
) -> None:
    with occupied(world.host, listens, kind=kind) as pid:
        said = refusal(world, protocol=kind, host_ip=host_ip)
    assert bool(said) == taken
    assert not taken or said.startswith(f"104 host port 8080/{kind} is in use by python")
    assert not taken or f"(pid {pid})" in said


def test_a_refused_port_leaves_no_rule_and_no_claim(world: World) -> None:
    box = world.box("web")
    before = world.host.snapshot(ignore=("*/locks/*",))
    with occupied(world.host, "0.0.0.0"), pytest.raises(PluginFailed):
        world.publish(box, [published(8081), published(8080)], **REFUSE)
    assert before.diff(world.host.snapshot(ignore=("*/locks/*",))) == []


def test_without_the_key_the_port_goes_to_the_container_with_a_warning(world: World) -> None:
    box = world.box("web")
    with occupied(world.host, "0.0.0.0"), world.serving(box):
        world.publish(box, [published(8080)])
        assert world.asks(None, HOST_V4, 8080) == "web"
    assert [each for each in world.warnings if "a process of the host listens on 8080/tcp" in each]


def test_a_connection_from_the_port_and_another_namespace_do_not_take_it(world: World) -> None:
    other = world.box("other")
    with ExitStack() as stack:
        stack.enter_context(world.serving(other, port=8080))
        assert refusal(world) == ""


def test_nerdctl_s_reserver_of_the_container_does_not_take_its_port(world: World) -> None:
    container = "a1" * 32
    box = world.box(f"default-{container}")
    with occupied(world.host, "0.0.0.0") as pid:
        with pytest.raises(PluginFailed):
            world.publish(box, [published(8080)], **REFUSE)
        world.host.write(f"/run/nerdctl/default/{container}/port-reserver.pid", str(pid))
        world.publish(box, [published(8080)], **REFUSE)
        assert world.warnings == []


def test_every_process_that_shares_a_port_is_judged(world: World) -> None:
    container = "a1" * 32
    box = world.box(f"default-{container}")
    with occupied(world.host, "0.0.0.0") as reserver, occupied(world.host, "0.0.0.0") as intruder:
        world.host.write(f"/run/nerdctl/default/{container}/port-reserver.pid", str(reserver))
        with pytest.raises(PluginFailed) as raised:
            world.publish(box, [published(8080)], **REFUSE)
    assert f"(pid {intruder})" in str(raised.value)


def test_podman_s_monitor_of_the_container_does_not_take_its_port(world: World) -> None:
    mine, others = world.box("mine"), world.box("others")
    with occupied(world.host, "0.0.0.0", 8080, "tcp", "-c", "mine"):
        world.publish(mine, [published(8080)], **REFUSE)
        world.unpublish(mine)
        with pytest.raises(PluginFailed):
            world.publish(others, [published(8080)], **REFUSE)


def test_ports_that_our_own_process_holds_and_relays_are_not_taken(world: World) -> None:
    process = PortsProcess(world.host)
    process.hold(HeldPort(protocol="tcp", address="", port=8080))
    box = world.box("web")
    world.publish(box, [published(8080)], localhost="relay", **REFUSE)
    ports = process.redirects()
    world.publish(world.box("second"), [published(each) for each in ports], localhost="relay", **REFUSE)
    assert ports
    assert world.warnings == []
