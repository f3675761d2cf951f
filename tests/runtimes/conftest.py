"""What every test of a real runtime shares."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from tests.harness import ours, tools
from tests.harness.containerd import BOX, Containerd
from tests.harness.crictl import PAUSE
from tests.harness.image import write_image
from tests.harness.nerdctl import Nerdctl
from tests.harness.podman import Podman
from tests.harness.privatehost import PrivateHost
from tests.harness.scenario import leave_only_ours, strangers

#: What the pages call the image; nothing is ever fetched for a test.
BUSYBOX = "docker.io/library/busybox:latest"


@pytest.fixture
def host() -> Iterator[PrivateHost]:
    """A private host in which no plugin but ours can be started."""
    with PrivateHost() as made:
        leave_only_ours(made)
        assert strangers(made) == []
        yield made


@pytest.fixture
def resident(host: PrivateHost) -> None:
    """Warm workers in the host, which end with it."""
    ours.linkspan(host, "resident", "start")


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image under the names that the tests and CRI ask for; left alone it sleeps, and /www has a page."""
    target = tmp_path_factory.mktemp("image") / "box.tar"
    names = [BOX, BUSYBOX, *PAUSE]
    return write_image(str(target), names, tools.require(tools.busybox), command=["sleep", "1000000"])


@pytest.fixture
def runs(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Note the version of the runtime under test for the table."""
    return lambda version: record_property("runtime version", version)


@pytest.fixture
def nerdctl(
    host: PrivateHost, archive: str, runs: Callable[[str], None], resident: None
) -> Iterator[Nerdctl]:
    """nerdctl and a containerd with an image."""
    directory, runc, program = (
        tools.require(each) for each in (tools.containerd24, tools.runc, tools.nerdctl)
    )
    with Containerd(host, directory, runc) as containerd:
        containerd.load(archive)
        with Nerdctl(containerd, program) as driven:
            runs(f"{driven.version} on {containerd.version.partition('+')[0]}")
            yield driven


@pytest.fixture
def podman(host: PrivateHost, archive: str, runs: Callable[[str], None], resident: None) -> Iterator[Podman]:
    """podman with an image."""
    with Podman(host, tools.require(tools.podman), tools.require(tools.runc)) as driven:
        runs(driven.version)
        driven.run("load", "--input", archive)
        yield driven


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Tell of a missing program once for each file, not once for each test."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        file, _, reason = report.longrepr
        report.longrepr = (file, None, reason)
    return report
