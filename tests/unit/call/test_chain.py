"""A list with what a runtime gives its plugins."""

from __future__ import annotations

import json
from typing import Any

import pytest

from linkspan.call.chain import Chain, newest_version
from linkspan.cni.model import Attachment

WEB = Attachment("custom", "c1", "eth0")


def test_a_plugin_is_called_with_what_libcni_would_give_it() -> None:
    plugin = {"type": "theirs", "capabilities": {"portMappings": True, "mac": False}}
    given = Chain(
        network="custom",
        document={"plugins": [plugin]},
        version="1.0.0",
        path="/bin:/sbin",
        attachment=WEB,
        netns="/run/netns/box",
        args={"IgnoreUnknown": "1", "K8S_POD_NAME": "web"},
        capabilities={"portMappings": [], "mac": "02:00:00:00:00:01", "ips": []},
        prev_result={"cniVersion": "1.0.0"},
    ).request("CHECK", plugin)
    assert dict(given.env) == {
        "CNI_COMMAND": "CHECK",
        "CNI_CONTAINERID": "c1",
        "CNI_IFNAME": "eth0",
        "CNI_NETNS": "/run/netns/box",
        "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAME=web",
        "CNI_PATH": "/bin:/sbin",
    }
    assert json.loads(given.stdin) == {
        **plugin,
        "name": "custom",
        "cniVersion": "1.0.0",
        "runtimeConfig": {"portMappings": []},
        "prevResult": {"cniVersion": "1.0.0"},
    }


@pytest.mark.parametrize(
    ("document", "newest"),
    [
        ({"cniVersion": "0.4.0"}, "0.4.0"),
        ({"cniVersion": "1.0.0", "cniVersions": ["0.4.0", "1.1.0", "9.0.0"]}, "1.1.0"),
        ({}, "0.1.0"),
    ],
)
def test_the_newest_version_is_one_that_we_know(document: dict[str, Any], newest: str) -> None:
    assert newest_version(document) == newest
