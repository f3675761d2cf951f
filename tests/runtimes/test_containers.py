"""`linkspan ps`, `port` and `exec` with the containers of real runtimes, and the recordings that the unit
tests use, compared with what those runtimes leave.

`LINKSPAN_RECORD=1 pytest tests/runtimes/test_containers.py -k recording` records them again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness import layouts, ours, tools
from tests.harness.cnitool import CniTool
from tests.harness.command import Command
from tests.harness.containerd import BOX, Containerd
from tests.harness.crictl import POD_NAMESPACE, Crictl
from tests.harness.nerdctl import Nerdctl
from tests.harness.patience import until
from tests.harness.podman import Podman
from tests.harness.privatehost import PrivateHost

pytestmark = [pytest.mark.root, pytest.mark.runtime]

SLEEP = ["sleep", "1000"]
HTTPD = ["httpd", "-f", "-p", "80", "-h", "/www"]


@pytest.fixture
def command(host: PrivateHost) -> Command:
    return Command(host)


@pytest.fixture
def nerdctl(host: PrivateHost, nerdctl: Nerdctl) -> Nerdctl:
    """Nerdctl with containers of every kind, on a network of ours."""
    ours.linkspan(host, "network", "create", "custom")
    nerdctl.start("web", "--network", "custom", "--publish", "18080:80", command=HTTPD)
    nerdctl.start("host-mode", "--network", "host", command=SLEEP)
    nerdctl.start("none-mode", "--network", "none", command=SLEEP)
    nerdctl.start("shares", "--network", "container:web", command=SLEEP)
    nerdctl.start("stopped", "--network", "custom", command=SLEEP)
    nerdctl.run("stop", "--time", "0", "stopped")
    nerdctl.run("create", "--name", "created", "--pull", "never", "--network", "custom", BOX)
    return nerdctl


def ids_of_nerdctl(nerdctl: Nerdctl) -> dict[str, str]:
    lines = nerdctl.output("ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}}").splitlines()
    return dict(each.split() for each in lines)


@pytest.fixture
def ctr(host: PrivateHost, archive: str, runs: Callable[[str], None], resident: None) -> Iterator[Containerd]:
    """ctr with containers of every kind, on a network of ours."""
    host.write("/etc/cni/net.d/10-bridge.conflist", json.dumps(ours.conflist("bridge")))
    with Containerd(host, tools.require(tools.containerd24), tools.require(tools.runc)) as containerd:
        runs(containerd.version.partition("+")[0])
        containerd.load(archive)
        for name, *options in (
            ("web", "--cni"),
            ("none-mode",),
            ("host-mode", "--net-host"),
            ("stopped", "--cni"),
        ):
            containerd.ctr("run", "--detach", *options, BOX, name, *SLEEP)
        containerd.ctr("task", "kill", "--signal", "SIGKILL", "stopped")
        until(lambda: containerd.task_pid("stopped") == 0, "the container has ended")
        yield containerd


@pytest.fixture
def cri(host: PrivateHost, archive: str, runs: Callable[[str], None], resident: None) -> Iterator[Crictl]:
    """crictl with a pod that has a container, and one that was stopped."""
    host.write("/etc/cni/net.d/10-bridge.conflist", json.dumps(ours.conflist("bridge")))
    directory, runc = tools.require(tools.containerd24), tools.require(tools.runc)
    with Containerd(host, directory, runc, namespace=POD_NAMESPACE) as containerd:
        containerd.load(archive)
        driven = Crictl(containerd, tools.require(tools.crictl))
        runs(containerd.version.partition("+")[0])
        pod = driven.run_pod(
            "web", ports=[{"host_port": 18080, "container_port": 80}], dns={"servers": ["10.1.1.1"]}
        )
        driven.start(pod, "server", SLEEP)
        driven.stop(driven.run_pod("stopped"))
        yield driven
        for each in driven.run("pods", "--quiet").split():
            driven.run("rmp", "--force", each)


def ids_of_cri(cri: Crictl) -> dict[str, str]:
    pods = {each: cri.status(each)["metadata"]["name"] for each in cri.run("pods", "--quiet").split()}
    return {**pods, cri.run("ps", "--quiet", "--no-trunc").strip(): "server"}


@pytest.fixture
def podman(host: PrivateHost, podman: Podman) -> Podman:
    """podman with containers of every kind, on a network of ours."""
    ours.linkspan(host, "network", "create", "custom", "--shared")
    podman.start("web", "--network", "custom", "--publish", "18080:80", image=BOX, command=SLEEP)
    podman.start("host-mode", "--network", "host", image=BOX, command=SLEEP)
    podman.start("none-mode", "--network", "none", image=BOX, command=SLEEP)
    podman.start("shares", "--network", "container:web", image=BOX, command=SLEEP)
    podman.start("stopped", "--network", "custom", image=BOX, command=SLEEP)
    podman.run("stop", "--time", "0", "stopped")
    podman.run("create", "--name", "created", "--network", "custom", BOX)
    return podman


def ids_of_podman(podman: Podman) -> dict[str, str]:
    lines = podman.output("ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}}").splitlines()
    return dict(each.split() for each in lines)


# --- the recordings
# -----------------------------------------------------------------------------------------------------------


def holds(host: PrivateHost, name: str, names: dict[str, str]) -> bool:
    """Whether a recording is what is there now; with LINKSPAN_RECORD it is made so."""
    recording = layouts.record(host, names)
    if os.environ.get("LINKSPAN_RECORD"):
        layouts.save(name, recording)
    expected = layouts.load(name)
    before, now = expected["files"], recording["files"]
    assert {path: now.get(path) for path in now | before if now.get(path) != before.get(path)} == {}
    assert recording == expected
    return True


def test_the_recording_of_nerdctl_is_what_it_leaves(host: PrivateHost, nerdctl: Nerdctl) -> None:
    assert holds(host, "nerdctl", ids_of_nerdctl(nerdctl))


def test_the_recording_of_ctr_is_what_it_leaves(host: PrivateHost, ctr: Containerd) -> None:
    assert holds(host, "ctr", {})


def test_the_recording_of_cri_is_what_it_leaves(host: PrivateHost, cri: Crictl) -> None:
    assert holds(host, "cri", ids_of_cri(cri))


def test_the_recording_of_podman_is_what_it_leaves(host: PrivateHost, podman: Podman) -> None:
    assert holds(host, "podman", ids_of_podman(podman))


# --- ps, port and exec
# -----------------------------------------------------------------------------------------------------------

EVERY_KIND = {
    "web": ["custom"],
    "host-mode": ["host"],
    "none-mode": ["none"],
    "shares": ["container:web"],
    "stopped": [""],
    "created": [""],
}


def test_nerdctls_containers_are_listed_with_their_networks(command: Command, nerdctl: Nerdctl) -> None:
    assert command.networks() == EVERY_KIND
    (web,) = json.loads(command.output("ps", "custom", "--output", "json"))
    assert (web["Runtime"], web["Namespace"], web["Interface"]) == ("nerdctl", "default", "eth0")
    assert web["Addresses"] == [f"{nerdctl.address('web')}/16"]
    assert web["MacAddress"] == nerdctl.inspect("web")["NetworkSettings"]["MacAddress"]
    assert web["HostLink"] in command.host.links()


def test_podmans_containers_are_listed_with_their_networks(command: Command, podman: Podman) -> None:
    assert command.networks() == EVERY_KIND
    (web,) = json.loads(command.output("ps", "custom", "--output", "json"))
    assert "web" in web["DNSNames"]


def test_ctrs_containers_are_listed_with_their_networks(command: Command, ctr: Containerd) -> None:
    assert command.networks() == {
        "web": ["bridge"],
        "host-mode": ["host"],
        "none-mode": ["none"],
        "stopped": [""],
    }


def test_a_pod_is_listed_once_however_many_containers_it_has(command: Command, cri: Crictl) -> None:
    assert command.networks() == {"web": ["bridge"], "stopped": [""]}
    assert command.output("exec", "tests/web", "ip", "-brief", "link") == command.output(
        "exec", "server", "ip", "-brief", "link"
    )


def test_containers_of_reference_plugins_and_of_named_namespaces_are_listed() -> None:
    with PrivateHost() as host:
        ours.install(host)
        host.write("/etc/cni/net.d/10-bridge.conflist", json.dumps(ours.conflist("bridge")))
        host.write("/etc/cni/net.d/20-ref.conflist", json.dumps(reference_list()))
        own = CniTool(host, tools.require(tools.cnitool), ours.BIN)
        theirs = CniTool(host, tools.require(tools.cnitool), tools.require(tools.reference_plugins))
        assert own.add("bridge", host.add_netns("ours")).status == 0
        assert theirs.add("reference", host.add_netns("theirs")).status == 0
        host.add_netns("empty")
        assert Command(host).networks() == {"empty": ["none"], "ours": ["bridge"], "theirs": ["reference"]}


def reference_list() -> dict[str, Any]:
    """A list of the reference plugins."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.99.0.0/24"}]]}
    bridge = {"type": "bridge", "bridge": "ref0", "isGateway": True, "ipam": ipam}
    return {"cniVersion": "1.0.0", "name": "reference", "plugins": [bridge]}


def test_who_is_not_root_sees_what_can_be_read_and_is_told_so(command: Command, host: PrivateHost) -> None:
    host.write("/etc/cni/net.d/10-bridge.conflist", json.dumps(ours.conflist("bridge")))
    tool = CniTool(host, tools.require(tools.cnitool), ours.BIN)
    assert tool.add("bridge", host.add_netns("box")).status == 0
    nobody = ours.ordinary_user(host)
    shown = nobody("ps", "--format", "{{.Names}} {{.Network}}")
    assert (shown.returncode, shown.stdout) == (0, "box unknown\n"), shown.stderr
    assert "containers are shown to root only" in shown.stderr
    host.run(["mkdir", "-p", "-m", "700", "/run/containerd/io.containerd.runtime.v2.task/default"])
    absent = nobody("port", "web")
    assert (absent.returncode, "(LS-G003)" in absent.stderr) == (5, True)


def test_nothing_of_it_needs_a_runtime_to_run(command: Command, nerdctl: Nerdctl) -> None:
    before = command.output("ps", "--all")
    address = nerdctl.address("web")
    nerdctl.containerd.stop()
    assert command.output("ps", "--all") == before
    assert address in command.output("exec", "web", "ip", "address")
    nerdctl.containerd.start()


def test_published_ports_are_shown_in_dockers_form(command: Command, nerdctl: Nerdctl) -> None:
    assert (
        command.output("port", "web") == "80/tcp -> 0.0.0.0:18080\n" == nerdctl.output("port", "web") + "\n"
    )
    assert command.output("port", "web", "80") == "0.0.0.0:18080\n"
    absent = command("port", "web", "80/udp")
    assert (absent.returncode, "LS-P002" in absent.stderr) == (3, True)


def test_a_program_of_the_host_runs_in_the_containers_namespace(command: Command, nerdctl: Nerdctl) -> None:
    assert f"inet {nerdctl.address('web')}/" in command.output("exec", "web", "ip", "address", "show", "eth0")
    assert command.output("exec", "web", "ls", "/sys/class/net").split() == ["eth0", "lo"]
    hosts = command.output("exec", "web", "cat", "/etc/hosts")
    assert [nerdctl.address("web"), "web"] in [each.split()[:4:3] for each in hosts.splitlines()]


def test_the_containers_own_resolv_conf_is_seen_and_the_hosts_stays(command: Command, cri: Crictl) -> None:
    before = command.host.read("/etc/resolv.conf")
    assert command.output("exec", "web", "cat", "/etc/resolv.conf") == "nameserver 10.1.1.1\n"
    assert command.host.read("/etc/resolv.conf") == before


def test_a_stopped_container_says_how_it_is_started(command: Command, podman: Podman) -> None:
    done = command("exec", "stopped", "true")
    assert (done.returncode, done.stdout) == (4, "")
    assert "fix: podman start stopped" in done.stderr
    podman.run("start", "stopped")
    assert command.output("exec", "stopped", "true") == ""


def test_a_word_that_two_runtimes_know_is_ambiguous(command: Command, nerdctl: Nerdctl) -> None:
    command.host.add_netns("web")
    done = command("exec", "web", "true")
    assert done.returncode == 2
    assert "fix: say default/web or netns/web" in done.stderr
    assert nerdctl.address("web") in command.output("exec", "default/web", "ip", "address")


def test_host_and_none_show_their_containers(command: Command, nerdctl: Nerdctl) -> None:
    for network in ("host", "none"):
        (container,) = json.loads(command.output("inspect", network))[0]["Containers"].values()
        assert container["Name"] == f"{network}-mode"
        assert (container["MacAddress"], container["IPv4Address"], container["IPv6Address"]) == ("", "", "")
