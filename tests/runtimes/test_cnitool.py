"""The CNI project's own cnitool drives every sample list, in every version of the protocol a runtime asks for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness import ours, tools
from tests.harness.cnitool import CniTool
from tests.harness.privatehost import PrivateHost

pytestmark = [pytest.mark.root, pytest.mark.runtime]

VERSIONS = ("0.4.0", "1.0.0", "1.1.0")
PUBLISHED = {
    "portMappings": [{"hostPort": 18080, "containerPort": 80, "protocol": "tcp"}],
    "aliases": ["www"],
}


@pytest.fixture
def program(runs: Callable[[str], None]) -> str:
    """The path of cnitool."""
    runs(tools.CNITOOL_VERSION)
    return tools.require(tools.cnitool)


@pytest.fixture
def cnitool(program: str, host: PrivateHost, resident: None) -> CniTool:
    """cnitool with CNI_PATH at an installed directory, answered by a resident."""
    return CniTool(host, program, ours.BIN, env=ours.RESIDENT)


@pytest.fixture
def standalone(program: str, host: PrivateHost) -> CniTool:
    """cnitool again, every process doing its work itself."""
    return CniTool(host, program, ours.BIN, env=ours.STANDALONE)


def spoken(name: str, version: str) -> dict[str, Any]:
    """The sample list in exactly one version, so that the library has none to choose from."""
    conflist = {**ours.conflist(name), "cniVersion": version}
    del conflist["cniVersions"]
    return conflist


def settled(host: PrivateHost, cnitool: CniTool, network: str) -> None:
    """One ADD and DEL first, so that what is shared (the bridge, chains) is there for the comparison."""
    netns = host.add_netns("first")
    accept(cnitool.run("add", network, netns, capabilities=PUBLISHED))
    accept(cnitool.run("del", network, netns, capabilities=PUBLISHED))
    host.del_netns("first")


def accept(answer: Any) -> Any:
    assert answer.status == 0, answer.stdout + answer.stderr
    return answer


def every_verb(host: PrivateHost, cnitool: CniTool, network: str) -> list[str]:
    """Send each of cnitool's verbs, some twice; what the host has afterwards that it had not before."""
    settled(host, cnitool, network)
    before = host.snapshot(ignore=ours.STAYS)
    netns = host.add_netns("box")
    for verb in ("add", "check", "status", "del", "del", "add", "gc"):
        accept(cnitool.run(verb, network, netns, capabilities=PUBLISHED))
    host.del_netns("box")
    return host.snapshot(ignore=ours.STAYS).diff(before)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ours.LISTS)
def test_a_list_goes_through_every_verb_and_leaves_nothing(
    name: str, version: str, host: PrivateHost, cnitool: CniTool
) -> None:
    assert every_verb(host, cnitool, cnitool.network(spoken(name, version))) == []


@pytest.mark.parametrize("name", ours.LISTS)
def test_a_list_goes_through_every_verb_without_a_resident_and_leaves_nothing(
    name: str, host: PrivateHost, standalone: CniTool
) -> None:
    assert every_verb(host, standalone, standalone.network(ours.conflist(name))) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_result_is_in_the_version_that_was_asked_for(
    version: str, host: PrivateHost, cnitool: CniTool
) -> None:
    network = cnitool.network(spoken("dual-stack", version))
    answer = accept(cnitool.add(network, host.add_netns("box")))
    assert json.loads(answer.stdout)["cniVersion"] == version


@pytest.mark.parametrize("name", ours.LISTS)
def test_a_del_without_namespace_capabilities_and_cache_leaves_nothing(
    name: str, host: PrivateHost, cnitool: CniTool
) -> None:
    network = cnitool.network(ours.conflist(name))
    settled(host, cnitool, network)
    before = host.snapshot(ignore=ours.STAYS)
    netns = host.add_netns("box")
    accept(cnitool.add(network, netns, capabilities=PUBLISHED))
    host.del_netns("box")
    shutil.rmtree(host.path("/var/lib/cni/results"))
    accept(cnitool.delete(network, netns))
    left = host.snapshot(ignore=ours.STAYS).diff(before)
    assert [line for line in left if "/var/lib/cni/results" not in line] == []
