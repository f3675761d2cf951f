"""Records that were removed are made again from libcni's cache, and what the dead left is removed."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from linkspan import paths
from linkspan.call.records import Records
from linkspan.cni.model import Attachment
from linkspan.host.memory import MemoryHost
from linkspan.runtime.recover import recover
from tests.harness.memory import BOX, Desk

PORT = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}
PLUGINS = ("bridge", "portmap", "firewall")


def listed(backend: str) -> dict[str, Any]:
    return {
        "cniVersion": "1.0.0",
        "name": "net",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "br0",
                "isGateway": True,
                "ipMasq": True,
                "ipMasqBackend": backend,
                "macspoofchk": True,
                "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.5.0.0/24"}]]},
            },
            {"type": "portmap", "backend": backend, "capabilities": {"portMappings": True}},
            {"type": "firewall", "backend": backend, "ingressPolicy": "same-bridge"},
        ],
    }


class Place:
    """A host with one container, and what a runtime remembers of it."""

    def __init__(self, backend: str) -> None:
        self.desk = Desk(version="1.0.0")
        self.host: MemoryHost = self.desk.host
        document = listed(backend)
        result: dict[str, Any] = {}
        for plugin in document["plugins"]:
            asked = {"runtimeConfig": {"portMappings": [PORT]}} if plugin["type"] == "portmap" else {}
            previous = {"prevResult": result} if result else {}
            answer = self.desk.call("ADD", {**plugin, **asked, **previous}, container_id="c1")
            assert answer.status == 0, answer.document
            result = answer.document
        entry = {
            "kind": "cniCacheV1",
            "containerId": "c1",
            "ifName": "eth0",
            "networkName": "net",
            "netns": BOX,
            "config": base64.b64encode(json.dumps(document).encode()).decode(),
            "capabilityArgs": {"portMappings": [PORT]},
            "result": result,
        }
        self.host.files.write("/var/lib/cni/results/net-c1-eth0", json.dumps(entry).encode())
        self.attachment = Attachment("net", "c1", "eth0")

    def records(self) -> dict[str, dict[str, Any] | None]:
        return {each: Records(self.host, each).read(self.attachment) for each in PLUGINS}

    def wipe(self) -> None:
        for path in [each for each in self.host.files.contents if paths.is_state(each)]:
            self.host.files.remove(path)
        self.host.files.write(paths.removed_mark(self.host.state_dir), b"")


@pytest.fixture(params=["nftables", "iptables"])
def place(request: pytest.FixtureRequest) -> Place:
    return Place(request.param)


def test_the_records_of_the_living_are_as_before_and_nothing_else_changes(place: Place) -> None:
    before, state = place.records(), place.host.state()
    place.wipe()
    assert recover(place.host) == (place.attachment,)
    assert place.records() == before
    assert {each for each in place.host.state() ^ state if "/swept/" not in each} == set()


def test_a_second_time_nothing_is_done(place: Place) -> None:
    place.wipe()
    recover(place.host)
    assert recover(place.host) == ()


def test_unless_state_was_removed_nothing_is_read(place: Place) -> None:
    Records(place.host, "bridge").remove(place.attachment)
    assert recover(place.host) == ()


def test_what_the_dead_left_is_removed(place: Place) -> None:
    place.wipe()
    place.host.links().delete(place.attachment.host_veth)
    assert recover(place.host) == ()
    left = [line for line in place.host.state() if "10.5.0.2" in line and not line.startswith("file /var")]
    assert [line for line in left if "CNI-FORWARD" not in line] == []


def test_another_network_is_left_alone(place: Place) -> None:
    place.wipe()
    assert recover(place.host, "other") == ()
    assert place.records()["bridge"] is None
