"""Local programs reach published ports of 127.0.0.1 and ::1 through the ports process."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from tests.harness import ours, talk
from tests.harness.patience import until
from tests.harness.ports import PortsProcess, relayed
from tests.harness.privatehost import HOST_V4, PrivateHost
from tests.harness.world import Box, World, world_of

pytestmark = pytest.mark.root

BACKENDS = ("nftables", "iptables")

#: Sends what it gets back once the client has ended its direction: only a relay that half-closes answers.
_ECHO = r"""
import selectors, socket, sys
server = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=1024)
waiting = selectors.DefaultSelector()
waiting.register(server, selectors.EVENT_READ)
got = {}
print("ready", flush=True)
while True:
    for key, _ in waiting.select():
        if key.fileobj is server:
            connection, _ = server.accept()
            waiting.register(connection, selectors.EVENT_READ)
            got[connection] = bytearray()
        elif data := key.fileobj.recv(65536):
            got[key.fileobj] += data
        else:
            waiting.unregister(key.fileobj)
            key.fileobj.sendall(got.pop(key.fileobj))
            key.fileobj.close()
"""
#: Opens connections, all at once, and prints how many answered with what was sent to them.
_MANY = r"""
import socket, sys
address, port, count, size = sys.argv[1], *map(int, sys.argv[2:])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
clients = [socket.socket(family) for _ in range(count)]
for client in clients:
    client.settimeout(20)
    client.connect((address, port))
for number, client in enumerate(clients):
    client.sendall(b"%09d" % number * (size // 9 + 1))
    client.shutdown(socket.SHUT_WR)
right = 0
for number, client in enumerate(clients):
    data = bytearray()
    while piece := client.recv(1 << 20):
        data += piece
    right += data == b"%09d" % number * (size // 9 + 1)
print(right)
"""


class Rig:
    """A container behind a bridge, and the ports process of its host."""

    def __init__(self, world: World) -> None:
        self.host = world.host
        self.world = world
        self.box: Box = world.box("web")
        self.process = PortsProcess(world.host, world.backend)

    def publish_all(self) -> None:
        """Port 8080 of every loopback address, both protocols and families, to port 80."""
        self.process.publish(
            *(
                relayed(address, family=family, protocol=protocol)
                for family, address in ((4, self.box.v4), (6, self.box.v6))
                for protocol in ("tcp", "udp")
            )
        )

    def asks(self, address: str, port: int = 8080, kind: str = "tcp") -> str:
        """Who answers the host."""
        return self.world.asks(None, address, port, kind=kind)

    def many(self, count: int, size: int) -> int:
        """How many of so many connections at once get back what they send."""
        server = self.host.popen([sys.executable, "-ISc", _ECHO, "80"], netns=self.box.netns, stderr=None)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        arguments = ["127.0.0.1", "8080", str(count), str(size)]
        done = self.host.run([sys.executable, "-ISc", _MANY, *arguments])
        server.kill()
        server.wait()
        return int(done.stdout)


@pytest.fixture(params=BACKENDS)
def rig(request: pytest.FixtureRequest, host: PrivateHost) -> Iterator[Rig]:
    with world_of(host, backend=request.param) as world:
        yield Rig(world)


@pytest.fixture
def one(host: PrivateHost) -> Iterator[Rig]:
    """For what does not depend on the back end."""
    with world_of(host) as world:
        yield Rig(world)


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.9", "::1"])
def test_published_port_answers_at_every_loopback_address(rig: Rig, address: str, kind: str) -> None:
    rig.publish_all()
    with rig.world.serving(rig.box, kind=kind):
        assert rig.asks(address, kind=kind) == "web"


def test_port_of_one_address_is_not_at_another(rig: Rig) -> None:
    rig.process.publish(relayed(rig.box.v4, host_ip="127.0.0.1"))
    with rig.world.serving(rig.box):
        assert (rig.asks("127.0.0.1"), rig.asks("127.0.0.2")) == ("web", "")


def test_ipv6_loopback_reaches_a_container_by_its_ipv4_address(rig: Rig) -> None:
    rig.process.publish(relayed(rig.box.v4, family=6))
    with rig.world.serving(rig.box):
        assert rig.asks("::1") == "web"


def test_listener_of_all_addresses_does_not_get_the_connections(rig: Rig) -> None:
    """nerdctl listens on each port that it publishes."""
    rig.publish_all()
    with (
        rig.world.serving(rig.box),
        talk.serve(rig.host, None, port=8080, name="reserver"),
    ):
        assert (rig.asks("127.0.0.1"), rig.asks("::1")) == ("web", "web")


def test_host_is_not_opened_to_containers(rig: Rig) -> None:
    rig.publish_all()
    assert rig.host.run(["sysctl", "-n", "net.ipv4.conf.br-net1.route_localnet"]).stdout == "0\n"


def test_five_hundred_connections_at_once_are_served(one: Rig) -> None:
    one.publish_all()
    assert one.many(500, size=100_000) == 500


def test_large_transfer_comes_back_unchanged(one: Rig) -> None:
    one.publish_all()
    assert one.many(1, size=1 << 26) == 1


def test_connection_is_refused_where_nothing_listens_in_the_container(one: Rig) -> None:
    one.publish_all()
    before = time.monotonic()
    assert one.asks("127.0.0.1") == ""
    assert time.monotonic() - before < 0.4  # `asks` waits 0.5 s for one that is silent


def test_relays_own_port_leads_nowhere(one: Rig) -> None:
    (port,) = one.process.publish(relayed(one.box.v4))
    with one.world.serving(one.box):
        assert one.asks("127.0.0.1", port.redirect) == ""


def test_relay_listens_on_loopback_addresses_only(one: Rig) -> None:
    (port,) = one.process.publish(relayed(one.box.v4))
    assert talk.ask(one.host, HOST_V4, port.redirect) is None


def test_connections_are_refused_while_the_process_is_dead(one: Rig) -> None:
    one.publish_all()
    one.process.kill()
    with one.world.serving(one.box), talk.serve(one.host, None, port=8080, name="other"):
        assert (one.asks("127.0.0.1"), one.asks("::1")) == ("", "")


def test_killed_process_relays_again_at_the_same_ports(one: Rig) -> None:
    one.publish_all()
    one.process.kill()
    one.process.ensure()
    with one.world.serving(one.box), one.world.serving(one.box, kind="udp"):
        found = [one.asks(each, kind=kind) for each in ("127.0.0.1", "::1") for kind in ("tcp", "udp")]
    assert found == ["web"] * 4


def test_process_leaves_when_nothing_is_relayed_and_leaves_nothing_behind(one: Rig) -> None:
    def use() -> None:
        one.process.relay(relayed(one.box.v4), relayed(one.box.v4, protocol="udp"))
        one.process.relay()
        until(lambda: not one.process.pids(), "the process to leave")

    use()  # the folder of its records stays
    before = one.host.snapshot(ours.STAYS)
    use()
    assert one.host.snapshot(ours.STAYS).diff(before) == []


def test_nothing_is_relayed_after_a_record_is_removed_while_no_process_runs(one: Rig) -> None:
    one.process.relay(relayed(one.box.v4))
    one.process.kill()
    one.process.relay()
    assert one.process.pids() == []


def test_idle_process_uses_no_processor_time(one: Rig) -> None:
    one.publish_all()
    pid = one.process.pid()
    before = _ticks(pid)
    time.sleep(5)
    assert _ticks(pid) - before <= 2  # of 10 ms each


def _ticks(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_upgrade_keeps_listeners_and_connections(one: Rig) -> None:
    one.publish_all()
    old = one.process.pid()
    client = one.host.popen([sys.executable, "-ISc", _PATIENT_CLIENT], stdin=-1)
    server = one.host.popen([sys.executable, "-ISc", _ECHO, "80"], netns=one.box.netns)
    assert client.stdout is not None
    assert client.stdin is not None
    assert server.stdout is not None
    server.stdout.readline()
    client.stdin.write("connect\n")
    client.stdin.flush()
    assert client.stdout.readline() == "connected\n"
    _upgrade(one.host)
    until(lambda: len(one.process.pids()) == 2, "the new build")
    client.stdin.write("finish\n")
    client.stdin.flush()
    assert client.stdout.readline() == "echo: hello\n"
    until(lambda: old not in one.process.pids(), "the end of the old build")
    server.kill()
    server.wait()
    assert one.many(1, size=100) == 1


_PATIENT_CLIENT = r"""
import socket, sys
sys.stdin.readline()
client = socket.create_connection(("127.0.0.1", 8080))
client.sendall(b"hello")
print("connected", flush=True)
sys.stdin.readline()
client.shutdown(socket.SHUT_WR)
print("echo:", client.recv(100).decode(), flush=True)
"""


def test_upgrade_without_connections_replaces_the_process_in_place(one: Rig) -> None:
    one.publish_all()
    pid = one.process.pid()
    started = os.stat(f"/proc/{pid}/exe")
    _upgrade(one.host)
    log = "/run/linkspan/*/ports.log"
    until(lambda: "upgraded" in one.host.run(["sh", "-c", f"cat {log}"]).stdout, "the upgrade")
    until(lambda: bool(one.process.state()["relayed"]), "the new build")
    assert one.process.pid() == pid
    assert os.path.samestat(os.stat(f"/proc/{pid}/exe"), started)
    with one.world.serving(one.box):
        assert one.asks("127.0.0.1") == "web"


def _upgrade(host: PrivateHost) -> None:
    """Let the installation on disk be another build for this host."""
    from linkspan.launch.protocol import IDENTITY

    host.run(["cp", IDENTITY, "/run/identity.py"])
    host.run(["mount", "--bind", "/run/identity.py", IDENTITY])


def test_terminated_process_is_gone_at_once(one: Rig) -> None:
    one.publish_all()
    before = time.monotonic()
    one.process.kill(signal.SIGTERM)
    assert time.monotonic() - before < 1
