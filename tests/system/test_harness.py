"""The harness itself: what a private host offers, what a snapshot notices, and that nothing outlives either."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.harness import golang, tools
from tests.harness.cache import Unavailable
from tests.harness.chain import Attachment, Chain, ChainError
from tests.harness.cnitool import CniTool, container_id
from tests.harness.containerd import BOX, Containerd
from tests.harness.image import write_image
from tests.harness.privatehost import (
    HOST_V4,
    HOST_V6,
    OUTSIDE,
    OUTSIDE_V4,
    OUTSIDE_V6,
    HostError,
    PrivateHost,
)
from tests.harness.talk import ask, serve
from tests.harness.tools import require

pytestmark = pytest.mark.root

REFERENCE_LIST: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "reference",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "br-reference",
            "isGateway": True,
            "ipMasq": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.5.0.0/24"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}
PUBLISHED = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}


# --- the private host ------------------------------------------------------------------------------------------


def test_a_private_host_takes_less_than_a_fifth_of_a_second_to_make() -> None:
    def seconds() -> float:
        started = time.monotonic()
        with PrivateHost():
            return time.monotonic() - started

    assert min(seconds() for _ in range(3)) < 0.2


def test_the_outside_and_the_host_reach_each_other(host: PrivateHost) -> None:
    with serve(host, None, port=80), serve(host, OUTSIDE, port=80, name="outside"):
        assert ask(host, HOST_V4, 80, netns=OUTSIDE) == f"host {OUTSIDE_V4}"
        assert ask(host, HOST_V6, 80, netns=OUTSIDE) == f"host {OUTSIDE_V6}"
        assert ask(host, OUTSIDE_V4, 80) == f"outside {HOST_V4}"
        assert ask(host, OUTSIDE_V6, 80) == f"outside {HOST_V6}"


def test_datagrams_are_answered_too(host: PrivateHost) -> None:
    with serve(host, None, port=53, kind="udp"):
        assert ask(host, HOST_V4, 53, netns=OUTSIDE, kind="udp") == f"host {OUTSIDE_V4}"


def test_files_of_the_host_are_its_own(host: PrivateHost) -> None:
    host.write("/etc/cni/net.d/10-a.conflist", "{}")
    host.write("/opt/cni/bin/plugin", "#!/bin/sh\necho ran\n", mode=0o755)
    host.write("/var/lib/cni/state", "kept")
    host.write("/run/linkspan/state", "kept")

    assert host.run(["/opt/cni/bin/plugin"]).stdout == "ran\n"
    assert host.read("/etc/cni/net.d/10-a.conflist") == "{}"
    assert host.run(["ls", "/usr/lib/cni"], check=False).stdout == ""
    for path in (
        "/etc/cni/net.d/10-a.conflist",
        "/opt/cni/bin/plugin",
        "/var/lib/cni/state",
        "/run/linkspan/state",
    ):
        assert not Path(path).exists()


def test_a_command_keeps_the_working_directory_and_gets_exactly_its_environment(host: PrivateHost) -> None:
    assert host.run(["/bin/pwd"]).stdout.strip() == str(Path.cwd())
    assert host.run(["/usr/bin/env"], env={"ONLY": "this"}).stdout == "ONLY=this\n"


def test_a_command_that_fails_raises_with_what_it_said(host: PrivateHost) -> None:
    with pytest.raises(HostError, match="status 3: broken"):
        host.run(["/bin/sh", "-c", "echo broken >&2; exit 3"])


def test_a_container_has_a_network_of_its_own(host: PrivateHost) -> None:
    path = host.add_netns("box")

    assert path == "/run/netns/box"
    assert list(host.links("box")) == ["lo"]
    assert "eth0" in host.links()
    host.del_netns("box")
    assert host.run(["ls", "/run/netns"]).stdout == ""


def test_this_process_can_enter_the_host_and_comes_back(host: PrivateHost) -> None:
    ours, cwd = os.readlink("/proc/self/ns/net"), Path.cwd()

    with host.entered():
        assert os.readlink("/proc/self/ns/net") == os.readlink(f"/proc/{host.pid}/ns/net")
        assert Path("/run/netns").is_dir()
        assert Path.cwd() == cwd

    assert os.readlink("/proc/self/ns/net") == ours
    assert Path.cwd() == cwd


# --- snapshots -------------------------------------------------------------------------------------------------


def test_two_snapshots_of_an_untouched_host_are_equal(host: PrivateHost) -> None:
    assert host.snapshot().diff(host.snapshot()) == []


@pytest.mark.parametrize(
    ("section", "change", "undo"),
    [
        ("links", "ip link add br0 type bridge", "ip link delete br0"),
        ("addresses", "ip address add 10.9.9.9/32 dev lo", "ip address delete 10.9.9.9/32 dev lo"),
        ("routes", "ip route add 10.8.0.0/16 dev eth0", "ip route delete 10.8.0.0/16"),
        ("rules", "ip rule add from 10.8.0.0/16 table 99", "ip rule delete from 10.8.0.0/16 table 99"),
        ("nftables", "nft add table ip wharf", "nft delete table ip wharf"),
        ("netns", "ip netns add box", "ip netns delete box"),
        ("sysctls", "echo 1 >/proc/sys/net/ipv4/ip_forward", "echo 0 >/proc/sys/net/ipv4/ip_forward"),
        (
            "files",
            "mkdir /run/linkspan; echo text >/run/linkspan/record",
            "rm -r /run/linkspan",
        ),
    ],
)
def test_a_snapshot_notices_a_change_and_its_undoing(
    host: PrivateHost, section: str, change: str, undo: str
) -> None:
    before = host.snapshot()

    host.run(["/bin/sh", "-ec", change])
    found = host.snapshot().diff(before)
    host.run(["/bin/sh", "-ec", undo])

    assert any(line.startswith(f"{section}: + ") for line in found), found
    assert host.snapshot().diff(before) == []


def test_a_snapshot_notices_rules_and_ignores_their_counters(host: PrivateHost) -> None:
    host.run(["iptables", "-A", "INPUT", "-j", "ACCEPT"])
    host.run(["/bin/sh", "-ec", "nft add table ip w; nft add set ip w s '{ type inet_service; }'"])
    before = host.snapshot()

    host.run(["iptables", "-A", "OUTPUT", "-d", "10.1.2.3", "-j", "DROP"])
    host.run(["nft", "add", "element", "ip", "w", "s", "{ 80 }"])
    with serve(host, None, port=80):
        ask(host, HOST_V4, 80, netns=OUTSIDE)
    found = host.snapshot().diff(before, ["*ip filter OUTPUT*"])

    assert found == ["iptables: + filter -A OUTPUT -d 10.1.2.3/32 -j DROP", "nftables: + element ip w s 80"]


def test_lines_can_be_left_out_by_pattern(host: PrivateHost) -> None:
    before = host.snapshot()
    host.write("/run/linkspan/locks/one", "")

    assert host.snapshot(["/run/linkspan/*"]).diff(before) == []
    assert host.snapshot().diff(before, ["/run/linkspan/*"]) == []


# --- nothing stays ---------------------------------------------------------------------------------------------


def _alive(pids: Iterable[int]) -> list[int]:
    """Return those of the processes that exist and are not merely waiting for their parent to notice."""
    found = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            found.append(pid)
    return found


def _eventually(condition: Callable[[], bool]) -> bool:
    """Return whether the condition comes true within five seconds."""
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_closing_kills_what_was_started_wherever_it_went(host: PrivateHost) -> None:
    host.add_netns("box")
    host.popen(["sleep", "600"], netns="box")
    for where in ("setsid", "setsid unshare --net --mount"):
        host.run(["/bin/sh", "-c", f"{where} sleep 600 </dev/null >/dev/null 2>&1 &"])
    host.outside(["/bin/sh", "-c", "setsid sleep 600 </dev/null >/dev/null 2>&1 &"])
    assert _eventually(lambda: list(host.processes().values()) == ["sleep 600"] * 4)
    started = host.processes()

    host.close()

    assert _alive([host.pid, *started]) == []
    host.close()  # a second time does nothing


@pytest.mark.parametrize("ended", ["os.kill", "os.killpg"])
def test_a_host_goes_with_the_process_that_made_it(ended: str) -> None:
    """Also when its whole group is ended, as timeout(1) and a terminal do."""
    script = (
        "import os, signal; from tests.harness.privatehost import PrivateHost\n"
        "host = PrivateHost(); host.add_netns('box'); sleeper = host.popen(['sleep', '600'], netns='box')\n"
        "while 'sleep 600' not in host.processes().values(): pass\n"
        "print(host.pid, sleeper.pid, flush=True)\n"
        f"{ended}(os.getpid(), signal.SIGKILL)\n"
    )

    died = subprocess.run(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        start_new_session=True,
    )

    assert died.returncode == -signal.SIGKILL
    pids = [int(pid) for pid in died.stdout.split()]
    assert _eventually(lambda: _alive(pids) == [])


# --- tools -----------------------------------------------------------------------------------------------------


def test_a_tool_that_was_not_fetched_skips_with_its_name_or_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LINKSPAN_CACHE", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("LINKSPAN_REQUIRE_ALL", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"cnitool .* has not been fetched"):
        require(tools.cnitool)

    monkeypatch.setenv("LINKSPAN_REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="nothing may be skipped"):
        require(tools.cnitool)


def test_a_tool_that_cannot_be_built_leaves_no_half_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LINKSPAN_CACHE", str(tmp_path))
    monkeypatch.setattr(golang, "toolchain", lambda: "/bin/false")

    with pytest.raises(Unavailable):
        tools.cnitool()

    assert [path.name for path in (tmp_path / "tools").iterdir()] == [f"cnitool-{tools.CNITOOL_VERSION}.lock"]


# --- with real plugins: what the harness says of them is what later tests rely on ----------------------------


@pytest.mark.runtime
def test_a_chain_attaches_publishes_checks_and_detaches(host: PrivateHost) -> None:
    chain = Chain(REFERENCE_LIST, require(tools.reference_plugins), host=host)
    box = Attachment("c1", host.add_netns("box"), capabilities=PUBLISHED)
    chain.add(box)
    chain.delete(box)
    before = host.snapshot()

    result = chain.add(box)
    chain.check(box)

    assert result["ips"][0]["address"].startswith("10.5.0.")
    assert list(host.links("box")) == ["lo", "eth0"]
    with serve(host, "box", port=80):
        assert ask(host, HOST_V4, 8080, netns=OUTSIDE) == f"box {OUTSIDE_V4}"
    chain.delete(box)
    assert host.snapshot().diff(before, ["*/last_reserved_ip.*"]) == []
    assert [f"{call.plugin} {call.verb}" for call in chain.calls[-2:]] == ["portmap DEL", "bridge DEL"]
    assert set(chain.versions()) == {"bridge", "portmap"}


@pytest.mark.runtime
def test_a_chain_raises_what_the_plugin_said(host: PrivateHost) -> None:
    chain = Chain(
        {
            "cniVersion": "1.0.0",
            "name": "bad",
            "plugins": [{"type": "bridge", "ipam": {"type": "host-local"}}],
        },
        require(tools.reference_plugins),
        host=host,
    )

    with pytest.raises(ChainError) as raised:
        chain.add(Attachment("c1", host.add_netns("box")))

    assert raised.value.error["code"] == 999
    assert raised.value.call.plugin == "bridge"


@pytest.mark.runtime
def test_cnitool_drives_plugins_in_the_host(host: PrivateHost) -> None:
    tool = CniTool(host, require(tools.cnitool), require(tools.reference_plugins))
    network = tool.network({**REFERENCE_LIST, "cniVersion": "1.1.0"})
    netns = host.add_netns("box")

    added = tool.add(network, netns, capabilities=PUBLISHED)

    assert added.status == 0, added.stderr
    assert added.result["ips"][0]["address"] == "10.5.0.2/24"
    assert f"/var/lib/cni/results/{network}-{container_id(netns)}-eth0" in "".join(host.snapshot()["files"])
    with serve(host, "box", port=80):
        assert ask(host, HOST_V4, 8080, netns=OUTSIDE) == f"box {OUTSIDE_V4}"
    for answer in (
        tool.check(network, netns, capabilities=PUBLISHED),
        tool.status(network),
        tool.delete(network, netns, capabilities=PUBLISHED),
        tool.gc(network),
    ):
        assert answer.status == 0, answer.stderr
    assert list(host.links("box")) == ["lo"]


@pytest.mark.runtime
@pytest.mark.parametrize("release", [tools.containerd_debian, tools.containerd24], ids=["debian", "2.4"])
def test_containerd_runs_containers_on_the_first_network(
    host: PrivateHost, tmp_path: Path, release: tools.Tool
) -> None:
    plugins = require(tools.reference_plugins)
    host.run(["/bin/sh", "-c", f"cp {plugins}/* /opt/cni/bin/"])
    # ctr offers no capabilities, so the ports are in the list itself.
    bridge = REFERENCE_LIST["plugins"][0]
    conflist = {**REFERENCE_LIST, "plugins": [bridge, {"type": "portmap", "runtimeConfig": PUBLISHED}]}
    host.write("/etc/cni/net.d/10-box.conflist", json.dumps(conflist))
    archive = write_image(str(tmp_path / "box.tar"), [BOX], require(tools.busybox))

    with Containerd(host, require(release), require(tools.runc)) as containerd:
        containerd.load(archive)
        shown = containerd.run_container("c1", ["ip", "-4", "address", "show", "eth0"]).stdout
        assert "inet 10.5.0.2/24" in shown

        running = containerd.start_container("c2", ["httpd", "-f", "-p", "80", "-h", "/www"])
        fetched = host.outside(
            ["curl", "--silent", "--retry", "20", "--retry-connrefused", f"http://{HOST_V4}:8080/"]
        )
        assert fetched.stdout == "box\n"
        assert containerd.stop_container("c2", running) == 128 + signal.SIGKILL

    assert host.processes() == {}
    assert not list(Path("/sys/fs/cgroup").glob("*/default/c[12]"))
