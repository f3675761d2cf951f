"""Real containerd, Debian's and 2.4: containers started by `ctr run --cni` on nothing but our executables."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.harness import ours, tools
from tests.harness.containerd import BOX, Containerd
from tests.harness.patience import until
from tests.harness.privatehost import OUTSIDE, PrivateHost
from tests.harness.scenario import fetch, leaves_nothing

pytestmark = [pytest.mark.root, pytest.mark.runtime]

HTTPD = ["httpd", "-f", "-p", "80", "-h", "/www"]


@pytest.fixture(params=[tools.containerd_debian, tools.containerd24], ids=["debian", "2.4"])
def containerd(
    request: pytest.FixtureRequest,
    host: PrivateHost,
    archive: str,
    runs: Callable[[str], None],
    resident: None,
) -> Iterator[Containerd]:
    """A containerd with an image."""
    directory, runc = tools.require(request.param), tools.require(tools.runc)
    with Containerd(host, directory, runc) as running:
        runs(running.version.partition("+")[0])
        running.load(archive)
        yield running


def use(host: PrivateHost, conflist: dict[str, Any]) -> None:
    """Make `conflist` the network: ctr takes the first file."""
    host.write("/etc/cni/net.d/10-net.conflist", json.dumps(conflist))


def with_port(name: str, host_port: int) -> dict[str, Any]:
    """ctr offers no capabilities: the mapping stands in that container's own list."""
    conflist = ours.conflist(name)
    portmap = next(plugin for plugin in conflist["plugins"] if plugin["type"] == "portmap")
    mapping = {"hostPort": host_port, "containerPort": 80, "protocol": "tcp"}
    portmap["runtimeConfig"] = {"portMappings": [mapping]}
    return conflist


def settle(host: PrivateHost, containerd: Containerd, conflist: dict[str, Any]) -> None:
    """Use a network once, so that what it keeps is there."""
    use(host, conflist)
    containerd.run_container("first", ["true"])


def address(containerd: Containerd, name: str) -> str:
    """A running container's IPv4 address."""
    argv = ["ip", "-4", "-o", "address", "show", "eth0"]
    netns = f"/proc/{containerd.task_pid(name)}/ns/net"
    return str(containerd.host.run(argv, netns=netns).stdout.split()[3].partition("/")[0])


@pytest.mark.parametrize("name", [name for name in ours.LISTS if name != "none"])
def test_a_container_on_each_sample_list_leaves_nothing(
    name: str, host: PrivateHost, containerd: Containerd
) -> None:
    settle(host, containerd, ours.conflist(name))
    with leaves_nothing(host):
        assert "eth0" in containerd.run_container("c1", ["ip", "link"]).stdout


def test_a_container_without_a_resident_leaves_nothing(host: PrivateHost, containerd: Containerd) -> None:
    settle(host, containerd, ours.conflist("custom"))
    with leaves_nothing(host):
        shown = containerd.run_container("c1", ["ip", "link"], env=ours.STANDALONE)
        assert "eth0" in shown.stdout


def test_a_published_port_answers_from_outside_and_leaves_nothing(
    host: PrivateHost, containerd: Containerd
) -> None:
    settle(host, containerd, with_port("bridge", 18080))
    with leaves_nothing(host):
        web = containerd.start_container("web", HTTPD)
        assert fetch(host, "http://198.51.100.10:18080/", netns=OUTSIDE) == "box\n"
        containerd.stop_container("web", web)


def test_a_published_port_answers_on_the_hosts_own_127_0_0_1(
    host: PrivateHost, containerd: Containerd
) -> None:
    use(host, with_port("bridge", 18080))
    containerd.start_container("web", HTTPD)
    assert fetch(host, "http://127.0.0.1:18080/") == "box\n"


def test_containers_reach_each_other(host: PrivateHost, containerd: Containerd) -> None:
    use(host, ours.conflist("bridge"))
    containerd.start_container("web", HTTPD)
    pinged = containerd.run_container("client", ["ping", "-c1", "-W2", address(containerd, "web")])
    assert "1 packets received" in pinged.stdout


def test_ten_containers_at_once_get_ten_addresses_and_leave_nothing(
    host: PrivateHost, containerd: Containerd
) -> None:
    settle(host, containerd, ours.conflist("bridge"))
    show = ["ip", "-4", "-o", "address", "show", "eth0"]
    with leaves_nothing(host), ThreadPoolExecutor(10) as pool:
        shown = pool.map(lambda number: containerd.run_container(f"c{number}", show).stdout, range(10))
        assert len({line.split()[3] for line in shown}) == 10


# --- ctr task kill, which sends a DEL without a namespace before the signal ------------------------------


DETACHED = pytest.mark.parametrize("containerd", [tools.containerd24], ids=["2.4"], indirect=True)
GONE_WITHIN = 10.0
"""Seconds after a container's end; a resident looks every two."""


def records(host: PrivateHost) -> list[str]:
    """The files of attachments below /run/linkspan."""
    found = host.run(["find", "/run/linkspan", "-path", "*/records/*", "-type", "f"], check=False).stdout
    return sorted(found.split())


@DETACHED
def test_a_detached_container_that_is_killed_leaves_nothing(
    host: PrivateHost, containerd: Containerd
) -> None:
    """containerd 1.6 never sends DEL for these. That of 2.4 comes while the container lives: the resident's follows."""
    settle(host, containerd, ours.conflist("bridge"))
    with leaves_nothing(host):
        containerd.ctr("run", "--detach", "--cni", BOX, "c1", "sleep", "1000")
        containerd.ctr("task", "kill", "--signal", "SIGKILL", "c1")
        until(lambda: not records(host), "the attachment to go", GONE_WITHIN)
        until(lambda: not ours.deferred(host), "the last deletion", GONE_WITHIN)


@DETACHED
def test_a_container_that_lives_on_after_a_signal_keeps_port_address_and_ping(
    host: PrivateHost, containerd: Containerd
) -> None:
    settle(host, containerd, with_port("bridge", 18080))
    with leaves_nothing(host):
        containerd.ctr("run", "--detach", "--cni", BOX, "web", *HTTPD)
        before = address(containerd, "web")
        containerd.ctr("task", "kill", "--signal", "SIGHUP", "web")
        assert address(containerd, "web") == before
        assert fetch(host, "http://198.51.100.10:18080/", netns=OUTSIDE) == "box\n"
        host.run(["ping", "-c1", "-W2", before])
        use(host, ours.conflist("bridge"))
        shown = containerd.run_container("other", ["ip", "-4", "-o", "address", "show", "eth0"]).stdout
        assert shown.split()[3].partition("/")[0] != before
        use(host, with_port("bridge", 18080))
        os.kill(containerd.task_pid("web"), signal.SIGKILL)
        until(lambda: not records(host), "the attachment to go", GONE_WITHIN)
        until(lambda: not ours.deferred(host), "the last deletion", GONE_WITHIN)
    assert fetch(host, "http://198.51.100.10:18080/", netns=OUTSIDE, patience=0) is None


@DETACHED
def test_without_a_resident_the_next_call_removes_what_such_a_container_had(
    host: PrivateHost, containerd: Containerd
) -> None:
    settle(host, containerd, ours.conflist("bridge"))
    ours.linkspan(host, "resident", "stop")
    with leaves_nothing(host):
        containerd.ctr("run", "--detach", "--cni", BOX, "c1", "sleep", "1000", env=ours.STANDALONE)
        containerd.ctr("task", "kill", "--signal", "SIGKILL", "c1", env=ours.STANDALONE)
        assert len(ours.deferred(host)) == len(ours.conflist("bridge")["plugins"])
        until(lambda: not containerd.task_pid("c1"), "the container to end")
        containerd.run_container("next", ["true"], env=ours.STANDALONE)
        assert (ours.deferred(host), records(host)) == ([], [])
