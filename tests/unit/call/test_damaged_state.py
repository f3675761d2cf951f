"""Whatever has become of the files that plugins keep: DEL and GC do what can be done, and report no fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from linkspan import paths
from linkspan.host.memory import MemoryHost
from tests.harness.memory import Desk
from tests.harness.nameserver import serve_names_of
from tests.unit.call.test_every_request import SCENARIOS, Scenario

Damage = Callable[[MemoryHost, str], None]


def kept(host: MemoryHost) -> list[str]:
    """Every file that a plugin keeps for itself."""
    ours = (paths.RUN_DIR, paths.LEASES_DIR, "/run/cni/tuning")
    return [path for path in host.files.contents if path.startswith(ours) and "/locks/" not in path]


def content(data: bytes) -> Damage:
    return lambda host, path: host.files.write(path, data)


def removed(host: MemoryHost, path: str) -> None:
    host.files.remove(path)


def folder(host: MemoryHost, path: str) -> None:
    host.files.remove(path)
    host.files.make_folder(path)


def full_folder(host: MemoryHost, path: str) -> None:
    host.files.remove(path)
    host.files.write(f"{path}/of/others", b"")


DAMAGE: dict[str, Damage] = {
    "removed": removed,
    "a folder": folder,
    "a full folder": full_folder,
    "empty": content(b""),
    "not JSON": content(b"{"),
    "another value": content(b"7"),
    "nested deeply": content(b"[" * 100_000),
    "other types": content(
        b'{"network": "net", "containerID": "c1", "ifname": "eth0", "addresses": 7, "ipam": 7}'
    ),
}


@pytest.fixture(params=SCENARIOS)
def scenario(request: pytest.FixtureRequest) -> Scenario:
    return SCENARIOS[request.param]


@pytest.fixture
def desk(scenario: Scenario) -> Iterator[Desk]:
    """A host on which the scenario's plugin attached a container."""
    made = scenario.desk()
    with serve_names_of(made.host):
        assert scenario.call(made, "ADD").status == 0
        yield made


@pytest.mark.parametrize("verb", ["DEL", "GC"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_stop_no_removal(desk: Desk, scenario: Scenario, damage: str, verb: str) -> None:
    for path in kept(desk.host):
        DAMAGE[damage](desk.host, path)
    answer = scenario.call(desk, verb)
    assert (answer.status, answer.document) == (0, {})


@pytest.mark.parametrize("verb", ["ADD", "CHECK", "STATUS"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_no_fault_of_linkspan(
    desk: Desk, scenario: Scenario, damage: str, verb: str
) -> None:
    for path in kept(desk.host):
        DAMAGE[damage](desk.host, path)
    assert scenario.call(desk, verb).code != 199
