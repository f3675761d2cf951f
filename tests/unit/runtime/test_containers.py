"""The containers of every runtime, from recordings of what real ones leave (tests/runtimes/test_containers.py
compares these with the programs).
"""

from __future__ import annotations

import errno
import json
from types import SimpleNamespace
from typing import Any

import pytest

from linkspan.cni.errors import IoFailure
from linkspan.host.memory import MemoryHost
from linkspan.runtime.containers import Containers, settings
from linkspan.runtime.errors import NeedsRoot, NoSuchContainer
from tests.harness.layouts import fake_id, load, placed


def states(host: MemoryHost) -> dict[str, tuple[str, bool]]:
    """Container -> its state, and whether it has the host's network."""
    return {each.name: (each.state, each.host_network) for each in Containers(host).all}


EVERY_KIND = {
    "web": ("running", False),
    "none-mode": ("running", False),
    "host-mode": ("running", True),
    "stopped": ("stopped", False),
}


@pytest.mark.parametrize("runtime", ["nerdctl", "podman"])
def test_containers_are_found_in_every_state(runtime: str) -> None:
    host = placed(load(runtime))
    assert states(host) == {**EVERY_KIND, "shares": ("running", False), "created": ("stopped", False)}
    assert {each.runtime for each in Containers(host).all} == {runtime}


def test_ctrs_containers_are_found_by_their_tasks() -> None:
    assert states(placed(load("ctr"))) == EVERY_KIND


def test_pods_are_found_and_the_containers_in_them() -> None:
    host = placed(load("cri"))
    assert states(host) == {
        "web": ("running", False),
        "server": ("running", False),
        "stopped": ("stopped", False),
    }
    pod, inside = Containers(host).find("tests/web"), Containers(host).find("server")
    assert (pod.is_pod, inside.is_pod) == (True, False)
    assert (pod.id, inside.attachment_id) == (fake_id("web"), fake_id("web"))
    assert pod.netns_identity == inside.netns_identity


@pytest.mark.parametrize(
    ("runtime", "attachment"),
    [
        ("nerdctl", f"default-{fake_id('web')}"),
        ("ctr", "default-web"),
        ("cri", fake_id("web")),
        ("podman", fake_id("web")),
    ],
)
def test_the_attachment_id_is_what_the_runtime_calls_plugins_with(runtime: str, attachment: str) -> None:
    assert Containers(placed(load(runtime))).find("web").attachment_id == attachment


@pytest.mark.parametrize("runtime", ["nerdctl", "podman"])
def test_a_container_in_anothers_namespace_shares_it(runtime: str) -> None:
    containers = Containers(placed(load(runtime)))
    web, shares, none = (containers.find(each) for each in ("web", "shares", "none-mode"))
    assert web.netns_identity == shares.netns_identity != none.netns_identity


@pytest.mark.parametrize("runtime", ["nerdctl", "ctr", "cri", "podman"])
def test_a_number_that_another_process_has_by_now_is_not_the_containers(runtime: str) -> None:
    host = placed(load(runtime))
    host.files.write(f"/proc/{Containers(host).find('web').pid}/cgroup", b"0::/system.slice/sshd.service\n")
    web = Containers(host).find("web")
    assert (web.state, web.pid) == ("stopped", 0)


def test_a_process_that_nobody_has_waited_for_does_not_run() -> None:
    host = placed(load("ctr"))
    host.del_netns(Containers(host).find("web").netns)
    assert Containers(host).find("web").state == "stopped"


@pytest.mark.parametrize("runtime", ["nerdctl", "ctr", "cri", "podman"])
def test_files_that_are_not_what_they_should_be_hide_no_other_container(runtime: str) -> None:
    recording = load(runtime)
    broken = placed(recording)
    specs = [each for each in recording["files"] if each.endswith("/config.json") and fake_id("web") in each]
    for each in [*specs, *(each for each in recording["files"] if each.endswith("/web/config.json"))]:
        broken.files.write(each, b"{")
    assert "host-mode" in states(broken) or runtime == "cri"


def test_a_process_is_the_container_whose_namespace_it_is_in() -> None:
    host = placed(load("nerdctl"))
    containers = Containers(host)
    pid = containers.find("shares").pid
    assert containers.find(f"pid:{pid}").name == "web"
    host.add_netns("/proc/4711/ns/net", same_as=containers.find("none-mode").netns)
    assert containers.find("pid:4711").name == "none-mode"


def test_any_other_process_is_named_by_its_command() -> None:
    host = MemoryHost()
    host.add_netns("/proc/7/ns/net")
    host.files.write("/proc/7/comm", b"sleep\n")
    found = Containers(host).find("pid:7")
    assert (found.runtime, found.name, found.pid, found.netns) == ("process", "sleep", 7, "/proc/7/ns/net")


def test_named_namespaces_are_containers_unless_a_runtime_made_them() -> None:
    host = MemoryHost()
    for name in ("box", "cni-1", "netns-2"):
        host.files.write(f"/run/netns/{name}", b"")
        host.add_netns(f"/run/netns/{name}")
    (found,) = Containers(host).all
    assert (found.name, found.runtime, found.state) == ("box", "netns", "running")
    assert found.resolver_files["/etc/resolv.conf"] == "/etc/netns/box/resolv.conf"
    assert Containers(host).find("netns:/run/netns/cni-1").netns == "/run/netns/cni-1"


@pytest.mark.parametrize("word", ["pid:7", "netns:/run/netns/gone", "gone", "pid:x"])
def test_what_is_not_there_is_not_found(word: str) -> None:
    with pytest.raises(NoSuchContainer):
        Containers(MemoryHost()).find(word)


def test_who_may_not_read_the_state_of_runtimes_is_told_so() -> None:
    host = MemoryHost(refuse={"files.names": _denied()})
    containers = Containers(host)
    assert containers.all == ()
    assert containers.incomplete
    with pytest.raises(NeedsRoot):
        containers.find("web")


def test_any_other_failure_is_not_taken_for_no_containers() -> None:
    with pytest.raises(IoFailure):
        _ = Containers(MemoryHost(refuse={"files.names": errno.EIO})).all


def _denied() -> IoFailure:
    failure = IoFailure("cannot list /run/containerd: Permission denied")
    failure.__cause__ = PermissionError(errno.EACCES, "Permission denied")
    return failure


def test_a_file_of_a_process_that_has_just_ended_is_absent() -> None:
    host = placed(load("ctr"))
    failure = IoFailure("cannot read /proc/7/cgroup: No such process")
    failure.__cause__ = ProcessLookupError(errno.ESRCH, "No such process")

    def read(path: str) -> bytes | None:
        if path.endswith("/cgroup"):
            raise failure
        return host.files.read(path)

    ending: Any = SimpleNamespace(
        files=SimpleNamespace(read=read, names=host.files.names), netns_identity=host.netns_identity
    )
    assert {each.state for each in Containers(ending).all} == {"stopped"}


@pytest.mark.parametrize(
    ("text", "section", "found"),
    [
        (
            'version = 3\nroot = "/r"\nstate = \'/s\'\n[grpc]\nroot = "/other"\n',
            "",
            {"root": "/r", "state": "/s"},
        ),
        (
            'root = "/r"\n[storage]\ngraphroot = "/g"\n[storage.options]\ngraphroot = "/o"\n',
            "storage",
            {"graphroot": "/g"},
        ),
        ('# root = "/r"\n', "", {}),
        ("", "", {}),
    ],
)
def test_settings_are_read_from_their_section(text: str, section: str, found: dict[str, str]) -> None:
    assert settings(text.encode(), ("root", "state", "graphroot"), section) == found


def test_recordings_have_nothing_of_this_machine() -> None:
    for runtime in ("nerdctl", "ctr", "cri", "podman"):
        assert "/root/." not in json.dumps(load(runtime))
