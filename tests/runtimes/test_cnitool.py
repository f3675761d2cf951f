"""The CNI project's own cnitool drives every sample list."""

from __future__ import annotations

import shutil

import pytest

from tests.harness import ours, tools
from tests.harness.cnitool import CniTool
from tests.harness.fakehost import FakeHost

pytestmark = [pytest.mark.root, pytest.mark.runtime]

PUBLISHED = {
    "portMappings": [{"hostPort": 18080, "containerPort": 80, "protocol": "tcp"}],
    "aliases": ["www"],
}


@pytest.fixture(params=["resident", "standalone"])
def cnitool(request: pytest.FixtureRequest, host: FakeHost) -> CniTool:
    """cnitool with CNI_PATH at an installed directory, answered by a resident or by each process itself."""
    program = tools.require(tools.cnitool)
    ours.install(host)
    env = ours.STANDALONE
    if request.param == "resident":
        request.getfixturevalue("running_resident")
        env = ours.RESIDENT
    return CniTool(host, program, ours.BIN, env=env)


@pytest.fixture
def running_resident(host: FakeHost):
    ours.install(host)
    with ours.resident(host):
        yield


def settled(host: FakeHost, cnitool: CniTool, network: str) -> None:
    """One ADD and DEL first, so that what is shared (the bridge, chains) is there for the comparison."""
    netns = host.add_netns("first")
    assert cnitool.add(network, netns).status == 0
    assert cnitool.delete(network, netns).status == 0
    host.del_netns("first")


@pytest.mark.parametrize("name", ours.LISTS)
def test_a_list_goes_through_every_verb_and_leaves_nothing(
    name: str, host: FakeHost, cnitool: CniTool
) -> None:
    network = cnitool.network(ours.conflist(name))
    settled(host, cnitool, network)
    before = host.snapshot(ignore=ours.STAYS)
    netns = host.add_netns("box")
    for verb in (
        cnitool.add,
        cnitool.check,
        cnitool.status,
        cnitool.delete,
        cnitool.delete,
        cnitool.add,
        cnitool.gc,
    ):
        arguments = (network,) if verb in (cnitool.status, cnitool.gc) else (network, netns)
        options = {} if verb in (cnitool.status, cnitool.gc) else {"capabilities": PUBLISHED}
        answer = verb(*arguments, **options)
        assert answer.status == 0, f"{verb.__name__}: {answer.stdout}{answer.stderr}"
    host.del_netns("box")
    assert before.diff(host.snapshot(ignore=ours.STAYS)) == []


@pytest.mark.parametrize("name", ours.LISTS)
def test_a_del_without_namespace_capabilities_and_cache_leaves_nothing(
    name: str, host: FakeHost, cnitool: CniTool
) -> None:
    network = cnitool.network(ours.conflist(name))
    settled(host, cnitool, network)
    before = host.snapshot(ignore=ours.STAYS)
    netns = host.add_netns("box")
    added = cnitool.add(network, netns, capabilities=PUBLISHED)
    assert added.status == 0, added.stdout + added.stderr
    host.del_netns("box")
    shutil.rmtree(host.path("/var/lib/cni/results"))
    deleted = cnitool.delete(network, netns)
    assert deleted.status == 0, deleted.stdout + deleted.stderr
    assert [
        line for line in before.diff(host.snapshot(ignore=ours.STAYS)) if "/var/lib/cni/results" not in line
    ] == []
