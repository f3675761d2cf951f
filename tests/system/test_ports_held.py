"""A held port is taken for every other program, and nothing that is sent there is received."""

from __future__ import annotations

import re
import sys

import pytest

from linkspan.cni.errors import PortTaken
from linkspan.cni.model import Attachment
from linkspan.ports.table import HeldPort
from tests.harness import ours, talk
from tests.harness.patience import until
from tests.harness.ports import PortsProcess
from tests.harness.privatehost import HOST_V4, PrivateHost

pytestmark = pytest.mark.root

DB = Attachment("net", "db", "eth0")
_BIND = r"""
import socket, sys
kind, address, port = sys.argv[1:]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
sock = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == "tcp")
sock.bind((address, int(port)))
if kind == "tcp":
    sock.listen()
"""


@pytest.fixture
def process(host: PrivateHost) -> PortsProcess:
    return PortsProcess(host)


def can_bind(host: PrivateHost, kind: str, address: str, port: int = 9090) -> bool:
    argv = [sys.executable, "-ISc", _BIND, kind, address, str(port)]
    return host.run(argv, check=False).returncode == 0


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "127.0.0.1", "::1", HOST_V4])
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_port_held_on_every_address_cannot_be_bound(
    host: PrivateHost, process: PortsProcess, kind: str, address: str
) -> None:
    free = can_bind(host, kind, address)
    process.hold(HeldPort(protocol=kind, address="", port=9090))
    assert (free, can_bind(host, kind, address)) == (True, False)


@pytest.mark.parametrize(("address", "free"), [("0.0.0.0", False), (HOST_V4, False), ("127.0.0.1", True)])
def test_port_held_on_one_address_is_free_on_others(
    host: PrivateHost, process: PortsProcess, address: str, free: bool
) -> None:
    process.hold(HeldPort(protocol="tcp", address=HOST_V4, port=9090))
    assert can_bind(host, "tcp", address) is free


def test_connection_to_a_held_port_is_dropped(host: PrivateHost, process: PortsProcess) -> None:
    """Not accepted, and not refused either: translation of the packet would come before this."""
    process.hold(HeldPort(protocol="tcp", address="", port=9090))
    done = host.run([sys.executable, "-ISc", talk._CLIENT, "tcp", "127.0.0.1", "9090", "0.3"], check=False)
    assert done.stderr.strip() == "timed out"


def test_held_port_is_free_after_its_release(host: PrivateHost, process: PortsProcess) -> None:
    process.hold(HeldPort(protocol="tcp", address="", port=9090))
    process.release(HeldPort(protocol="tcp", address="", port=9090))
    assert can_bind(host, "tcp", "0.0.0.0")


def test_release_of_all_leaves_the_ports_of_others(host: PrivateHost, process: PortsProcess) -> None:
    process.hold(HeldPort(protocol="tcp", address="", port=9090))
    process.hold(HeldPort(protocol="tcp", address="", port=9091), DB)
    process.release()
    assert (can_bind(host, "tcp", "0.0.0.0", 9090), can_bind(host, "tcp", "0.0.0.0", 9091)) == (True, False)


def test_taken_port_names_the_program_that_has_it(host: PrivateHost, process: PortsProcess) -> None:
    with talk.serve(host, None, port=9090, address="127.0.0.1"), pytest.raises(PortTaken) as raised:
        process.hold(HeldPort(protocol="tcp", address="", port=9090))
    assert re.fullmatch(r"host port 9090/tcp is in use by python\S* \(pid \d+\)", raised.value.msg)


def test_ports_are_held_again_after_the_process_was_killed(host: PrivateHost, process: PortsProcess) -> None:
    process.hold(HeldPort(protocol="tcp", address="", port=9090))
    process.hold(HeldPort(protocol="udp", address="", port=9090))
    process.kill()
    process.ensure()
    assert (can_bind(host, "tcp", "0.0.0.0"), can_bind(host, "udp", "::")) == (False, False)


def test_process_leaves_after_the_last_release_and_leaves_no_record(
    host: PrivateHost, process: PortsProcess
) -> None:
    def use() -> None:
        process.hold(HeldPort(protocol="tcp", address="", port=9090))
        process.release()
        until(lambda: not process.pids(), "the process to leave")

    use()  # the folder of its records stays
    before = host.snapshot(ours.STAYS)
    use()
    assert host.snapshot(ours.STAYS).diff(before) == []


def test_only_root_can_ask(host: PrivateHost, process: PortsProcess) -> None:
    process.hold(HeldPort(protocol="tcp", address="", port=9090))
    socket = host.run(["sh", "-c", "echo /run/linkspan/*/ports.sock"]).stdout.strip()
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({socket!r})"
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-ISc", code]
    done = host.run(argv, check=False)
    assert "PermissionError" in done.stderr
