"""Records of what `linkspan connect` attached."""

from __future__ import annotations

from typing import Any

import pytest

from linkspan.call import connections
from linkspan.call.chain import Chain
from linkspan.call.connections import Connection
from linkspan.cni.model import Attachment
from linkspan.host.memory import MemoryHost

WEB = Connection(
    chain=Chain(
        network="custom",
        document={"cniVersion": "1.0.0", "name": "custom", "plugins": [{"type": "bridge"}]},
        version="1.0.0",
        path="/opt/cni/bin",
        attachment=Attachment("custom", "c1", "eth1"),
        netns="/proc/7/ns/net",
        args={"K8S_POD_NAME": "web"},
        capabilities={"aliases": {"custom": ["www"]}},
        prev_result={"cniVersion": "1.0.0"},
    ),
    anchor=("bridge", "eth0"),
    addresses=("10.5.0.2/24",),
    boot="first-boot 1",
    container="web",
)


def test_what_is_written_is_read_again() -> None:
    files = MemoryHost().files
    connections.write(files, WEB)
    assert connections.of_container(files, "c1") == [WEB] == list(connections.every(files))
    assert connections.of_container(files, "c2") == []


def test_nothing_is_left_of_a_container_without_connections() -> None:
    host = MemoryHost()
    connections.write(host.files, WEB)
    connections.remove(host.files, WEB.attachment)
    assert not host.files.exists("/var/lib/linkspan/connections/c1")


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"linkspan": []}, {**WEB.to_json(), "config": "%"}, {**WEB.to_json(), "cniArgs": 3}],
)
def test_anything_else_is_no_connection(document: Any) -> None:
    assert connections.of(document) is None
