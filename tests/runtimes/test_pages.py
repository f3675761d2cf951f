"""The pages of docs/ about runtimes: each one's commands are typed from top to bottom, with the real
program.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import ours, tools
from tests.harness.containerd import Containerd
from tests.harness.crictl import POD_NAMESPACE
from tests.harness.podman import Podman
from tests.harness.privatehost import PrivateHost

pytestmark = [pytest.mark.root, pytest.mark.runtime]

#: What installs programs is left out: the harness has done it.
_NOT_TYPED = ("apt-get ", "go install ")
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def blocks(page: str) -> list[str]:
    """The indented blocks of a page, as they would be typed."""
    text = Path(f"{ours.ROOT}/docs/{page}.md").read_text(encoding="utf-8")
    found = re.findall(r"(?:^ {4}.*\n)+", text, re.MULTILINE)
    return [re.sub(r"^ {4}", "", block, flags=re.MULTILINE) for block in found]


def script(page: str) -> str:
    """Every command of a page. A block that begins with a bracket is a piece of a configuration file,
    one with "error: " an output.
    """
    typed = "".join(block for block in blocks(page) if not block.startswith(("[", "error: ")))
    lines = [line for line in typed.splitlines() if not line.startswith(_NOT_TYPED)]
    assert lines
    return "\n".join(lines)


@pytest.fixture
def type_page(host: PrivateHost, tmp_path: Path) -> Callable[..., str]:
    """Type a page's commands in a directory with our checkout's cni-conf; the first that fails ends it."""
    (tmp_path / "cni-conf").symlink_to(f"{ours.ROOT}/cni-conf")

    def type_it(page: str, *directories: str) -> str:
        path = ":".join((os.path.dirname(sys.executable), *directories, _SYSTEM_PATH))
        done = host.run(
            ["sh", "-eux", "-c", script(page)],
            env={"PATH": path, "HOME": "/root"},
            cwd=str(tmp_path),
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return type_it


@pytest.mark.parametrize("version", [tools.containerd_debian, tools.containerd24], ids=["1.6", "2.4"])
def test_containerd(
    version: tools.Tool,
    host: PrivateHost,
    archive: str,
    type_page: Callable[..., str],
    runs: Callable[[str], None],
) -> None:
    directory, runc = tools.require(version), tools.require(tools.runc)
    with Containerd(host, directory, runc) as containerd:
        runs(containerd.version.partition("+")[0])
        containerd.load(archive)
        assert "root:x:0:0" in type_page("containerd", directory)


@pytest.mark.parametrize("version", [tools.containerd_debian, tools.containerd24], ids=["1.6", "2.4"])
def test_cri(
    version: tools.Tool,
    host: PrivateHost,
    archive: str,
    type_page: Callable[..., str],
    runs: Callable[[str], None],
) -> None:
    directory, runc, crictl = (tools.require(each) for each in (version, tools.runc, tools.crictl))
    with Containerd(host, directory, runc, namespace=POD_NAMESPACE) as containerd:
        runs(containerd.version.partition("+")[0])
        containerd.load(archive)
        assert "root:x:0:0" in type_page("cri", os.path.dirname(crictl))


def test_nerdctl(
    host: PrivateHost, archive: str, type_page: Callable[..., str], runs: Callable[[str], None]
) -> None:
    directory, runc, nerdctl = (
        tools.require(each) for each in (tools.containerd24, tools.runc, tools.nerdctl)
    )
    with Containerd(host, directory, runc) as containerd:
        runs(tools.NERDCTL_VERSION)
        containerd.load(archive)
        assert "root:x:0:0" in type_page(
            "nerdctl", directory, os.path.dirname(nerdctl), os.path.dirname(runc)
        )


def test_networks(
    host: PrivateHost, archive: str, type_page: Callable[..., str], runs: Callable[[str], None]
) -> None:
    directory, runc, nerdctl = (
        tools.require(each) for each in (tools.containerd24, tools.runc, tools.nerdctl)
    )
    with Containerd(host, directory, runc) as containerd:
        runs(tools.NERDCTL_VERSION)
        containerd.load(archive)
        printed = type_page("networks", directory, os.path.dirname(nerdctl), os.path.dirname(runc))
        assert '"IPv4Address": "172.17.0.2/16"' in printed


def test_containers(
    host: PrivateHost, archive: str, type_page: Callable[..., str], runs: Callable[[str], None]
) -> None:
    directory, runc, nerdctl = (
        tools.require(each) for each in (tools.containerd24, tools.runc, tools.nerdctl)
    )
    with Containerd(host, directory, runc) as containerd:
        runs(tools.NERDCTL_VERSION)
        containerd.load(archive)
        printed = type_page("containers", directory, os.path.dirname(nerdctl), os.path.dirname(runc))
        assert "80/tcp -> 0.0.0.0:8081" in printed
        assert "inet 172.17.0.2/16" in printed


def test_podman(
    host: PrivateHost, archive: str, type_page: Callable[..., str], runs: Callable[[str], None]
) -> None:
    with Podman(host, tools.require(tools.podman), tools.require(tools.runc)) as podman:
        runs(podman.version)
        podman.run("load", "--input", archive)
        told = [line for block in blocks("podman") if block.startswith("[") for line in block.splitlines()]
        assert set(told) <= set(host.read("/etc/containers/containers.conf").splitlines())
        assert "root:x:0:0" in type_page("podman")


def test_cnitool(host: PrivateHost, type_page: Callable[..., str], runs: Callable[[str], None]) -> None:
    runs(tools.CNITOOL_VERSION)
    assert '"ips"' in type_page("cnitool", os.path.dirname(tools.require(tools.cnitool)))
