"""`rm -rf /run/linkspan` while containers are attached: all goes on, and DEL and GC find what they must remove."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from linkspan import paths
from linkspan.cni import model
from tests.harness import ours, services
from tests.harness.chain import Attachment, Chain
from tests.harness.patience import until
from tests.harness.privatehost import HOST_V4, OUTSIDE, PrivateHost
from tests.harness.services import NAMES, PORTS, SUPERVISOR, WORKER
from tests.harness.talk import ask, serve
from tests.harness.world import published

pytestmark = pytest.mark.root

#: What a runtime attaches containers with.
LIST: dict[str, Any] = {
    "cniVersion": "1.1.0",
    "name": "net",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "br0",
            "isDefaultGateway": True,
            "ipMasq": True,
            "ipMasqBackend": "nftables",
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]]},
        },
        {
            "type": "portmap",
            "backend": "nftables",
            "localhost": "relay",
            "capabilities": {"portMappings": True},
        },
        {"type": "dns"},
    ],
}
COMPLETE = {SUPERVISOR: 1, WORKER: 4, NAMES: 1, PORTS: 1}


class Runtime:
    """A runtime that keeps libcni's cache."""

    def __init__(self, host: PrivateHost) -> None:
        self.host = host
        ours.install(host)
        self.chain = Chain(LIST, ours.BIN, host=host, env=ours.RESIDENT)

    def add(self, name: str, *ports: dict[str, Any]) -> Attachment:
        """A container."""
        box = Attachment(name, self.host.add_netns(name), capabilities={"portMappings": list(ports)})
        entry = {
            "kind": "cniCacheV1",
            "containerId": name,
            "ifName": "eth0",
            "networkName": "net",
            "netns": box.netns,
            "capabilityArgs": dict(box.capabilities),
            "config": base64.b64encode(json.dumps(LIST).encode()).decode(),
            "result": self.chain.add(box),
        }
        self.host.write(f"/var/lib/cni/results/net-{name}-eth0", json.dumps(entry))
        return box

    def records(self) -> set[str]:
        """The records that are there, as plugin/container."""
        found = self.host.run(["find", "/run/linkspan", "-path", "*/records/*.json"], check=False).stdout
        found_records = [(each, json.loads(self.host.read(each))) for each in found.split()]
        return {f"{path.split('/')[-2]}/{record['containerID']}" for path, record in found_records}

    def wipe(self) -> None:
        """What an administrator or a tmpfiles.d(5) does."""
        self.host.run(["rm", "-rf", "/run/linkspan"], check=False)

    def listed(self) -> str:
        """Our table."""
        return str(self.host.run(["nft", "list", "table", "inet", "linkspan"], check=False).stdout)


@pytest.fixture
def runtime(host: PrivateHost) -> Iterator[Runtime]:
    made = Runtime(host)
    try:
        yield made
    finally:
        ours.linkspan(host, "resident", "stop")


def complete(runtime: Runtime) -> None:
    until(lambda: services.count(runtime.host) == COMPLETE, "every service, once")


def test_services_stay_and_records_come_back(runtime: Runtime) -> None:
    web = runtime.add("web", published(8080))
    complete(runtime)
    before, pids = runtime.records(), services.services(runtime.host)
    runtime.wipe()
    until(lambda: runtime.records() == before, "the records")
    # The process that restores may still run.
    assert pids.items() <= services.services(runtime.host).items()
    other = runtime.add("other")
    runtime.chain.check(web)
    with serve(runtime.host, web.netns, port=80, name="web"):
        assert (ask(runtime.host, HOST_V4, 8080, netns=OUTSIDE) or "").startswith("web")
    for each in (web, other):
        runtime.chain.delete(each)
    assert runtime.records() == set()


def test_an_add_right_after_the_removal_succeeds(runtime: Runtime) -> None:
    runtime.add("web", published(8080))
    complete(runtime)
    runtime.wipe()
    runtime.add("other")
    complete(runtime)


def test_del_and_gc_find_what_has_no_record(host: PrivateHost) -> None:
    runtime = Runtime(host)
    runtime.chain._env = dict(ours.STANDALONE)
    boxes = [runtime.add(name, published(8080 + at)) for at, name in enumerate(("web", "dead"))]
    host.run(["rm", "-rf", "/run/linkspan", "/var/lib/cni/results"])
    without_ports = [Attachment(each.container_id, each.netns) for each in boxes]
    runtime.chain.delete(without_ports[0])
    assert "8080" not in runtime.listed()
    runtime.chain.gc([])
    host.run(["sh", "-c", f"ip link delete {model.Attachment('net', 'dead', 'eth0').host_veth}"])
    mark(host)
    runtime.chain.gc([])
    assert "8081" not in runtime.listed()
    assert "net dead eth0" not in runtime.listed()
    services.kill(host, *(each for each in (NAMES, PORTS) if services.pid_of(host, each)))


def mark(host: PrivateHost) -> None:
    """What the supervisor notes of a removal."""
    host.write(f"{state_dir(host)}/removed", "")


def state_dir(host: PrivateHost) -> str:
    with host.entered():
        return paths.state_dir()


def test_reload_makes_records_of_the_living_and_removes_the_dead(host: PrivateHost) -> None:
    runtime = Runtime(host)
    runtime.chain._env = dict(ours.STANDALONE)
    for at, name in enumerate(("web", "dead")):
        runtime.add(name, published(8080 + at))
    before = {each for each in runtime.records() if not each.startswith("relayed")}
    until(lambda: services.pid_of(host, PORTS) != 0, "the ports process")
    services.kill(host, NAMES, PORTS)
    host.run(["rm", "-rf", "/run/linkspan"])
    host.run(["ip", "link", "delete", model.Attachment("net", "dead", "eth0").host_veth])
    mark(host)
    said = ours.linkspan(host, "reload")
    assert "container web (eth0) on network net: its records were lost" in said
    assert {each for each in runtime.records() if not each.startswith("relayed")} == {
        each for each in before if each.endswith("/web")
    }
    assert "8080" in runtime.listed()
    assert "8081" not in runtime.listed()
    services.kill(host, NAMES, PORTS)


def test_what_killed_writers_left_is_swept(host: PrivateHost) -> None:
    runtime = Runtime(host)
    runtime.chain._env = dict(ours.STANDALONE)
    runtime.add("web")
    state = state_dir(host)
    for name, age in (("old", "2 hours ago"), ("new", "now")):
        path = f"{state}/records/bridge/{name}.json.linkspan~.77"
        host.write(path, "{")
        host.run(["touch", "-d", age, path])
    ours.linkspan(host, "reload")
    assert [each for each in host.run(["ls", f"{state}/records/bridge"]).stdout.split() if "~" in each] == [
        "new.json.linkspan~.77"
    ]
    services.kill(host, NAMES)
