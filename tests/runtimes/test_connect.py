"""`linkspan connect` and `disconnect` with the containers of real runtimes."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from tests.harness import ours, tools
from tests.harness.command import Command
from tests.harness.containerd import BOX, Containerd
from tests.harness.crictl import POD_NAMESPACE, Crictl
from tests.harness.nerdctl import Nerdctl
from tests.harness.patience import until
from tests.harness.podman import Podman
from tests.harness.privatehost import PrivateHost
from tests.harness.scenario import leaves_nothing

pytestmark = [pytest.mark.root, pytest.mark.runtime]

SLEEP = ["sleep", "1000"]
GATEWAY_OF_SECOND = "172.18.0.1"
#: Asks a name server for the IPv4 address of a name.
ASK = """
import sys, dns.message, dns.query
query = dns.message.make_query(sys.argv[2], "A")
print(dns.query.udp(query, sys.argv[1], timeout=5).answer[0][0])
"""


@pytest.fixture
def command(host: PrivateHost) -> Command:
    """The command, and two networks of ours for every runtime."""
    made = Command(host)
    for name in ("first", "second"):
        assert made("create", name, "--shared").returncode == 0
    return made


def sees(host: PrivateHost, netns: str, address: str) -> bool:
    """Whether a namespace reaches an address."""
    return host.run(["ping", "-c", "1", "-W", "2", address], netns=netns, check=False).returncode == 0


def test_a_running_container_gets_a_second_network_and_reaches_its_members(
    host: PrivateHost, command: Command, nerdctl: Nerdctl
) -> None:
    nerdctl.start("web", "--network", "first", command=SLEEP)
    nerdctl.start("other", "--network", "second", command=SLEEP)
    assert command.output("connect", "second", "web") == ""
    route = command.output("exec", "web", "ip", "route", "get", nerdctl.address("other"))
    assert "dev eth1" in route
    assert sees(host, nerdctl.netns("web"), nerdctl.address("other"))
    assert "default via 172.17.0.1 dev eth0" in command.output(
        "exec", "web", "ip", "route", "show", "default"
    )
    assert command.output("disconnect", "second", "web") == ""
    assert "eth1" not in host.links(nerdctl.netns("web"))


def test_the_names_of_a_connected_container_are_resolved(
    host: PrivateHost, command: Command, nerdctl: Nerdctl
) -> None:
    nerdctl.start("web", "--network", "first", command=SLEEP)
    nerdctl.start("other", "--network", "second", command=SLEEP)
    command.output("connect", "--alias", "www", "second", "web")
    (address,) = command.addresses("second")["web"]
    for name in ("web", "www", "web.second"):
        argv = [sys.executable, "-c", ASK, GATEWAY_OF_SECOND, name]
        answer = host.run(argv, netns=nerdctl.netns("other")).stdout.strip()
        assert answer == address.partition("/")[0], name


@pytest.mark.parametrize("how", ["restart", "stop and start", "kill", "kill of the process"])
def test_the_attachment_follows_nerdctls_container(
    host: PrivateHost, command: Command, nerdctl: Nerdctl, how: str
) -> None:
    nerdctl.start("web", "--network", "first", command=SLEEP)
    command.output("connect", "second", "web")
    before = command.addresses("second")
    nerdctl.start("between", "--network", "second", command=SLEEP)
    if how == "restart":
        nerdctl.run("restart", "--time", "0", "web")
    elif how == "stop and start":
        nerdctl.run("stop", "--time", "0", "web")
        assert "web" not in command.addresses("second")
        nerdctl.run("start", "web")
    elif how == "kill":
        nerdctl.run("kill", "web")
        nerdctl.run("start", "web")
    else:
        os.kill(nerdctl.inspect("web")["State"]["Pid"], signal.SIGKILL)
        until(lambda: nerdctl.inspect("web")["State"]["Status"] != "running", "the container has ended")
        nerdctl.run("start", "web")
    assert command.addresses("second")["web"] == before["web"]
    assert "eth1" in host.links(nerdctl.netns("web"))


def test_the_attachment_is_made_again_after_another_boot(
    host: PrivateHost, command: Command, nerdctl: Nerdctl
) -> None:
    nerdctl.start("web", "--network", "first", command=SLEEP)
    command.output("connect", "second", "web")
    before = command.addresses("second")
    nerdctl.run("kill", "web")
    command.output("resident", "stop")
    with host.another_boot():
        nerdctl.run("start", "web")
        assert command.addresses("second") == before
        assert "eth1" in host.links(nerdctl.netns("web"))
        command.output("resident", "stop")


def test_a_connect_that_is_killed_leaves_what_gc_removes(
    host: PrivateHost, command: Command, nerdctl: Nerdctl
) -> None:
    nerdctl.start("web", "--network", "first", command=SLEEP)
    nerdctl.start("other", "--network", "second", command=SLEEP)
    command.output("connect", "second", "web")
    command.output("disconnect", "second", "web")
    before = host.snapshot(ignore=ours.STAYS)
    for delay in range(8):
        running = host.popen([*ours.COMMAND, "connect", "second", "web"])
        time.sleep(0.1 + delay * 0.03)
        running.kill()
        running.wait()
        command.output("gc")
        if "web" in command.addresses("second"):
            command.output("disconnect", "second", "web")
        assert host.snapshot(ignore=ours.STAYS).diff(before) == []


def test_a_stopped_container_is_attached_when_it_is_started(command: Command, nerdctl: Nerdctl) -> None:
    nerdctl.start("web", "--network", "first", command=SLEEP)
    nerdctl.run("stop", "--time", "0", "web")
    assert command.output("connect", "second", "web") == ""
    assert command.addresses("second") == {}
    nerdctl.run("start", "web")
    assert command.addresses("second")["web"]


def test_a_signal_that_does_not_end_the_container_detaches_nothing(
    host: PrivateHost, command: Command, nerdctl: Nerdctl
) -> None:
    nerdctl.start("web", "--network", "first", command=["sh", "-c", "trap : HUP; while :; do sleep 1; done"])
    command.output("connect", "second", "web")
    before = command.addresses("second")
    nerdctl.run("kill", "--signal", "HUP", "web")
    assert command.addresses("second") == before


def test_nothing_is_left_once_the_container_is_removed(
    host: PrivateHost, command: Command, nerdctl: Nerdctl
) -> None:
    def life() -> None:
        nerdctl.start("web", "--network", "first", command=SLEEP)
        command.output("connect", "second", "web")
        nerdctl.run("rm", "--force", "web")
        command.output("gc")

    life()
    with leaves_nothing(host):
        life()


def test_a_container_without_a_network_is_connected_until_it_is_restarted(
    host: PrivateHost, command: Command, nerdctl: Nerdctl
) -> None:
    nerdctl.start("web", "--network", "none", command=SLEEP)
    done = command("connect", "second", "web")
    assert (done.returncode, "until it is restarted" in done.stderr) == (0, True)
    assert command.addresses("second")["web"]
    nerdctl.start("host-mode", "--network", "host", command=SLEEP)
    refused = command("connect", "second", "host-mode")
    assert (refused.returncode, "(LS-C006)" in refused.stderr) == (4, True)


@pytest.mark.parametrize("how", ["restart", "reload", "stop and start"])
def test_the_attachment_follows_podmans_container(
    host: PrivateHost, command: Command, podman: Podman, how: str
) -> None:
    podman.start("web", "--network", "first", image=BOX, command=SLEEP)
    command.output("connect", "second", "web")
    before = command.addresses("second")
    assert before["web"]
    if how == "restart":
        podman.run("restart", "--time", "0", "web")
    elif how == "reload":
        podman.run("network", "reload", "web")
    else:
        podman.run("stop", "--time", "0", "web")
        podman.run("start", "web")
    assert command.addresses("second") == before
    assert "net0" in host.links(podman.netns("web"))


def test_podman_removes_a_connected_container_and_nothing_is_left(
    host: PrivateHost, command: Command, podman: Podman
) -> None:
    def life() -> None:
        podman.start("web", "--network", "first", image=BOX, command=SLEEP)
        command.output("connect", "second", "web")
        podman.run("rm", "--force", "--time", "0", "web")
        command.output("gc")

    life()
    with leaves_nothing(host):
        life()


def test_containers_of_ctr_and_pods_are_connected_as_long_as_they_live(
    host: PrivateHost, archive: str, command: Command, resident: None
) -> None:
    directory, runc = tools.require(tools.containerd24), tools.require(tools.runc)
    with Containerd(host, directory, runc, namespace=POD_NAMESPACE) as containerd:
        containerd.load(archive)
        cri = Crictl(containerd, tools.require(tools.crictl))
        pod = cri.run_pod("web")
        assert command.output("connect", "second", "tests/web") == ""
        assert command.addresses("second")["web"]
        cri.stop(pod)
        assert command.addresses("second") == {}
        cri.remove(pod)
        assert command.output("gc") == "connection of web to network second\n"


def test_gc_of_cnitool_detaches_no_connection(host: PrivateHost, command: Command, nerdctl: Nerdctl) -> None:
    nerdctl.start("web", "--network", "first", command=SLEEP)
    command.output("connect", "second", "web")
    before = command.addresses("second")
    env = {"CNI_PATH": ours.BIN, "NETCONFPATH": "/etc/cni/net.d", "PATH": ours.PATH}
    done = host.run(
        [tools.require(tools.cnitool), "gc", "second", host.add_netns("any")], env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    assert command.addresses("second") == before
