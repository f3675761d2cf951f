"""Ours beside the real Docker engine on one host: started first, started last, and asked for the same port.

Not part of an ordinary run, because the engine takes minutes to build: only `./dev soak` runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.coexistence.guests import PORT, Guests, settle, taken
from tests.coexistence.theirs import Theirs, page_at, published_by_docker
from tests.harness import ours, tools
from tests.harness.chain import ChainError
from tests.harness.containerd import BOX, Containerd
from tests.harness.docker import Docker
from tests.harness.image import write_image
from tests.harness.privatehost import HOST_V4, OUTSIDE, PrivateHost
from tests.harness.talk import ask

pytestmark = [pytest.mark.root, pytest.mark.runtime, pytest.mark.docker]

StartDocker = Callable[[], AbstractContextManager[Theirs]]


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image with a page."""
    target = tmp_path_factory.mktemp("image") / "box.tar"
    return write_image(str(target), [BOX], tools.require(tools.busybox))


@pytest.fixture
def start_docker(host: PrivateHost, archive: str) -> Iterator[StartDocker]:
    """Starts the engine and two containers of it when called."""
    directory, runc = tools.require(tools.containerd24), tools.require(tools.runc_of_docker)
    engine = tools.require(tools.dockerd)

    @contextmanager
    def start() -> Iterator[Theirs]:
        with Docker(containerd, engine) as docker:
            docker.load(archive)
            yield Theirs(docker)

    with Containerd(host, directory, runc) as containerd:
        yield start


def test_ours_come_and_go_beside_docker_and_nothing_is_left_or_touched(
    host: PrivateHost, start_docker: StartDocker, backend: str
) -> None:
    with start_docker() as theirs:
        untouched = host.snapshot()
        settle(host, backend)
        before = host.snapshot(ignore=ours.STAYS)
        with Guests(host, backend) as guests:
            assert (guests.lacking(), guests.complaints(), theirs.lacking()) == ([], [], [])
        after = host.snapshot(ignore=ours.STAYS)
        assert after.diff(before) == []
        assert taken(after, untouched) == []
        assert theirs.lacking() == []


@pytest.mark.parametrize("firewall", [True, False])
def test_docker_started_last_takes_nothing_from_ours(
    host: PrivateHost, start_docker: StartDocker, backend: str, firewall: bool
) -> None:
    with Guests(host, backend, firewall=firewall) as guests, start_docker() as theirs:
        assert (guests.lacking(), guests.complaints(), theirs.lacking()) == ([], [], [])


def test_docker_s_containers_come_and_go_beside_ours(
    host: PrivateHost, start_docker: StartDocker, backend: str
) -> None:
    with start_docker() as theirs, Guests(host, backend) as guests:
        for name in ("shop", "buyer"):
            theirs.docker.remove(name)
        theirs.docker.ask("DELETE", "/networks/town")
        assert (guests.lacking(), guests.complaints()) == ([], [])


def test_a_flush_in_between_is_told_by_check_and_reload_brings_ours_back(
    host: PrivateHost, start_docker: StartDocker, backend: str
) -> None:
    """Docker sets the policy of FORWARD to DROP; what Docker has lost, Docker makes again when it is restarted."""
    with start_docker(), Guests(host, backend) as guests:
        host.run(["iptables", "-F", "FORWARD"])
        assert any("the iptables chain FORWARD has no rule" in each for each in guests.complaints())
        ours.linkspan(host, "reload")
        assert (guests.lacking(), guests.complaints()) == ([], [])


def test_a_port_that_docker_publishes_later_stays_with_ours_which_tells_and_is_docker_s_afterwards(
    host: PrivateHost, start_docker: StartDocker, backend: str
) -> None:
    with start_docker() as theirs:
        guests = Guests(host, backend)
        with published_by_docker(theirs.docker, PORT):
            assert (guests.lacking(), guests.complaints()) == ([], [])
            assert any(f"a process of the host listens on {PORT}/tcp" in each for each in guests.warnings())
            guests.close()
            assert page_at(theirs.docker, PORT)


def test_a_port_that_docker_published_before_is_told_by_ours_and_is_docker_s_afterwards(
    host: PrivateHost, start_docker: StartDocker, backend: str
) -> None:
    with start_docker() as theirs, published_by_docker(theirs.docker, PORT):
        guests = Guests(host, backend, refuseTakenPorts=False)
        assert any(f"a process of the host listens on {PORT}/tcp" in each for each in guests.warnings())
        assert str(ask(host, HOST_V4, PORT, netns=OUTSIDE)).startswith("web ")
        guests.close()
        assert page_at(theirs.docker, PORT)


def test_a_port_that_docker_published_before_is_refused_by_our_lists_with_the_name_of_its_proxy(
    host: PrivateHost, start_docker: StartDocker, backend: str
) -> None:
    with start_docker() as theirs, published_by_docker(theirs.docker, PORT):
        with pytest.raises(ChainError) as raised:
            Guests(host, backend)
        assert f"host port {PORT}/tcp is in use by docker-proxy (pid " in str(raised.value)
        assert page_at(theirs.docker, PORT)
