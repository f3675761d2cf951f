"""A host made of namespaces is deleted: the services that its plugins started are not what keeps it alive."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from typing import Any

import pytest

from tests.harness import ours
from tests.harness.patience import until
from tests.harness.privatehost import PrivateHost

pytestmark = pytest.mark.root

PLUGINS: tuple[dict[str, Any], ...] = (
    {
        "type": "bridge",
        "bridge": "br0",
        "isGateway": True,
        "ipam": {"type": "host-local", "subnet": "10.5.0.0/24"},
    },
    {"type": "dns"},
)
SERVICES = Counter({"linkspan": 1, "linkspan worker": 4, "linkspan dns": 1})
#: Seconds in which services leave, and after which those that are still there stay.
LEAVES, STAYS = 10.0, 4.0


class Node:
    """A network namespace that is a host of its own, with one container and the services that its ADD started."""

    def __init__(self, host: PrivateHost) -> None:
        self.host = host
        self.inode = os.stat(host.path(host.add_netns("node", loopback_up=True))).st_ino
        host.run(["ip", "link", "add", "uplink", "type", "veth", "peer", "name", "eth0", "netns", "node"])
        ours.install(host)
        self._add(host.add_netns("box"))
        until(lambda: self.services() == SERVICES, "the resident and the name server")

    def _add(self, netns: str) -> None:
        call = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_NETNS": netns, "CNI_IFNAME": "eth0"}
        result: dict[str, Any] = {}
        for plugin in PLUGINS:
            config = {"cniVersion": "1.0.0", "name": "net", **plugin, **result}
            done = self.host.run(
                [f"{ours.BIN}/{plugin['type']}"],
                env={**call, "CNI_PATH": ours.BIN, **ours.RESIDENT},
                input=json.dumps(config),
                netns="node",
            )
            result = {"prevResult": json.loads(done.stdout)}

    def services(self) -> Counter[str]:
        """How many processes of each name, as ps shows it, are in the namespace."""
        found: Counter[str] = Counter()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.stat(f"/proc/{pid}/ns/net").st_ino == self.inode:
                    with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                        found[file.read().strip()] += 1
            except OSError:
                continue
        return found

    def is_gone(self) -> bool:
        """Whether nobody is left in it and its interfaces went with it."""
        return not self.services() and "uplink" not in self.host.links()


@pytest.fixture
def node(host: PrivateHost) -> Node:
    return Node(host)


def test_every_service_leaves_within_seconds_of_the_end_of_its_namespace(node: Node) -> None:
    node.host.del_netns("node")
    until(node.is_gone, "the services to leave", LEAVES)


def test_services_stay_while_a_mount_keeps_their_namespace(node: Node) -> None:
    node.host.write("/run/elsewhere", "")
    node.host.run(["mount", "--bind", "/run/netns/node", "/run/elsewhere"])
    node.host.del_netns("node")
    time.sleep(STAYS)
    assert node.services() == SERVICES
    node.host.run(["umount", "/run/elsewhere"])
    until(node.is_gone, "the services to leave", LEAVES)


def test_services_stay_while_a_process_is_in_their_namespace(node: Node) -> None:
    running = node.host.popen(["sleep", "60"], netns="node", stdout=subprocess.DEVNULL)
    until(lambda: node.services()["sleep"] == 1, "the process")
    node.host.del_netns("node")
    time.sleep(STAYS)
    assert node.services() == SERVICES + Counter(sleep=1)
    running.kill()
    running.wait()
    until(node.is_gone, "the services to leave", LEAVES)


def test_a_call_that_runs_ends_before_its_worker_leaves(node: Node) -> None:
    """The launcher that waits for it keeps the namespace, though its name is gone."""
    node.host.write(
        "/opt/cni/slow/slow", '#!/bin/sh\nsleep 4\necho \'{"cniVersion": "1.0.0"}\'\n', mode=0o755
    )
    config = {"cniVersion": "1.0.0", "name": "net", **PLUGINS[0], "ipam": {"type": "slow"}}
    call = {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c2", "CNI_NETNS": "", "CNI_IFNAME": "eth0"}
    running = node.host.popen(
        [f"{ours.BIN}/bridge"],
        env={**call, "CNI_PATH": "/opt/cni/slow", **ours.RESIDENT},
        netns="node",
        stdin=subprocess.PIPE,
    )
    assert running.stdin is not None
    running.stdin.write(json.dumps(config))
    running.stdin.close()
    running.stdin = None
    until(lambda: node.services()["slow"] == 1, "the call to begin")
    node.host.del_netns("node")
    stdout, _ = running.communicate(timeout=20)
    assert (running.returncode, stdout) == (0, "")
    until(node.is_gone, "the services to leave", LEAVES)
