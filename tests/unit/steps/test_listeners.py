"""Whose a listening socket is: somebody else's, ours, or a runtime's that holds the port for the container."""

from __future__ import annotations

import pytest

from linkspan import paths
from linkspan.cni.model import Attachment
from linkspan.host.contract import Listener, Process
from linkspan.host.memory import MemoryHost
from linkspan.steps.listeners import occupants

ID = "0123456789abcdef" * 4
WEB = Attachment("net", f"my-space-{ID}", "eth0")
PIDFILE = f"/run/nerdctl/my-space/{ID}/port-reserver.pid"


def process(pid: int, name: str = "sleep", *arguments: str, uid: int = 0) -> Process:
    return Process(pid=pid, uid=uid, name=name, arguments=(name, *arguments))


def listening(host: MemoryHost, *by: Process) -> list[Listener]:
    """A socket of its own for each process on one port (SO_REUSEPORT)."""
    for each in by:
        host.listen("tcp", 8080, "0.0.0.0", each)
    return host.listeners


def found(host: MemoryHost, attachment: Attachment = WEB) -> list[str]:
    return [each.process for each in occupants(host, attachment, host.listeners)]


@pytest.fixture
def host() -> MemoryHost:
    return MemoryHost()


def test_processes_are_looked_at_only_if_somebody_listens(host: MemoryHost) -> None:
    assert found(host) == []
    assert host.requests == []


def test_somebody_else_s_socket_is_named(host: MemoryHost) -> None:
    listening(host, process(7, "nginx", uid=33))
    (occupant,) = occupants(host, WEB, host.listeners)
    assert str(occupant) == "nginx (pid 7), which listens on 0.0.0.0:8080"


def test_address_of_ipv6_is_in_brackets(host: MemoryHost) -> None:
    host.listen("tcp", 8080, "::1")
    (occupant,) = occupants(host, WEB, host.listeners)
    assert str(occupant) == "another program, which listens on [::1]:8080"


@pytest.mark.parametrize("service", [paths.PORTS, paths.NAME_SERVER])
def test_our_own_processes_are_known_by_where_they_answer(host: MemoryHost, service: str) -> None:
    listening(host, process(7, "linkspan ports"))
    as_a_name = found(host)
    host.services.pids[service] = 7
    assert (as_a_name, found(host)) == (["linkspan ports (pid 7)"], [])


def test_nerdctl_s_reserver_of_the_container_is_no_occupant(host: MemoryHost) -> None:
    listening(host, process(7))
    without_note = found(host)
    host.files.write(PIDFILE, b"7")
    assert (without_note, found(host)) == (["sleep (pid 7)"], [])
    other = Attachment("net", WEB.container_id.replace("0", "1"), "eth0")
    assert found(host, other) == ["sleep (pid 7)"]


@pytest.mark.parametrize("noted", [b"", b"seven", b"0", b"-7", b"7" * 5000, b"7\n8"])
def test_damaged_note_of_nerdctl_counts_for_nothing(host: MemoryHost, noted: bytes) -> None:
    listening(host, process(7))
    host.files.write(PIDFILE, noted)
    assert found(host) == ["sleep (pid 7)"]


def test_socket_that_nerdctl_itself_still_has_open_is_the_reserver_s(host: MemoryHost) -> None:
    inode = host.listen("tcp", 8080)
    host.processes.sockets[inode] = (process(6, "nerdctl"), process(7))
    host.files.write(PIDFILE, b"7")
    assert found(host) == []


@pytest.mark.parametrize(
    ("uid", "container", "expected"),
    [(0, WEB.container_id, []), (1000, WEB.container_id, ["conmon (pid 7)"]), (0, ID, ["conmon (pid 7)"])],
    ids=["of the container", "of another user", "of another container"],
)
def test_podman_s_monitor_is_known_by_user_and_container(
    host: MemoryHost, uid: int, container: str, expected: list[str]
) -> None:
    listening(host, process(7, "conmon", "--api-version", "1", "-c", container, uid=uid))
    assert found(host) == expected


def test_every_socket_of_a_port_is_judged(host: MemoryHost) -> None:
    listening(host, process(7), process(8, "intruder", uid=33))
    host.files.write(PIDFILE, b"7")
    assert found(host) == ["intruder (pid 8)"]
