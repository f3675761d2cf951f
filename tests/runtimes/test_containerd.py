"""Real containerd, Debian's and 2.4: containers started by `ctr run --cni` on nothing but our executables."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import ours, tools
from tests.harness.containerd import Containerd
from tests.harness.fakehost import FakeHost
from tests.harness.image import write_image

pytestmark = [pytest.mark.root, pytest.mark.runtime]

BOX = "docker.io/library/box:1"


@pytest.fixture(params=[tools.containerd_debian, tools.containerd24], ids=["debian", "2.4"])
def containerd(request: pytest.FixtureRequest, host: FakeHost, tmp_path: Path) -> Iterator[Containerd]:
    """A containerd with an image; no other plugin can answer, since /usr/lib/cni is covered."""
    directory, runc, busybox = (tools.require(each) for each in (request.param, tools.runc, tools.busybox))
    assert host.run(["ls", "/usr/lib/cni"], check=False).stdout == ""
    ours.install(host)
    archive = tmp_path / "box.tar"
    write_image(str(archive), [BOX], busybox)
    with Containerd(host, directory, runc) as running:
        running.load(str(archive))
        yield running


def use(host: FakeHost, conflist: dict[str, Any]) -> None:
    host.write("/etc/cni/net.d/10-net.conflist", json.dumps(conflist))


def with_port(host_port: int) -> dict[str, Any]:
    """ctr offers no capabilities: the mapping stands in that container's own list."""
    conflist = ours.conflist("bridge")
    for plugin in conflist["plugins"]:
        if plugin["type"] == "portmap":
            plugin["runtimeConfig"] = {
                "portMappings": [{"hostPort": host_port, "containerPort": 8080, "protocol": "tcp"}]
            }
    return conflist


def test_containers_reach_each_other_and_a_port_answers_from_outside(
    host: FakeHost, containerd: Containerd, tmp_path: Path
) -> None:
    use(host, ours.conflist("bridge"))
    containerd.run_container("first", ["true"], image=BOX)
    before = host.snapshot(ignore=ours.STAYS)

    use(host, with_port(18080))
    web = containerd.start_container(
        "web", ["sh", "-c", "echo hello-from-web > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"], image=BOX
    )
    address = (
        host.run(
            [
                "nsenter",
                f"--target={containerd.task_pid('web')}",
                "--net",
                "ip",
                "-4",
                "-o",
                "addr",
                "show",
                "eth0",
            ]
        )
        .stdout.split()[3]
        .partition("/")[0]
    )
    time.sleep(0.3)
    assert "hello-from-web" in host.outside(["curl", "-sS", "-m5", "http://198.51.100.10:18080/"]).stdout

    use(host, ours.conflist("bridge"))
    pinged = containerd.run_container("client", ["ping", "-c1", "-W2", address], image=BOX)
    assert "1 packets received" in pinged.stdout

    use(host, with_port(18080))
    containerd.stop_container("web", web)
    changed = [
        line for line in before.diff(host.snapshot(ignore=ours.STAYS)) if "/run/containerd" not in line
    ]
    assert changed == []
