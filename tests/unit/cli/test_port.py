"""`linkspan port`: published ports in Docker's form."""

from __future__ import annotations

import json

import pytest

from linkspan.runtime.cache import CACHE_DIR
from tests.harness.layouts import fake_id, load, placed
from tests.unit.cli.conftest import Command
from tests.unit.runtime.test_endpoints import cached


@pytest.fixture
def web(command: Command) -> Command:
    """A world with nerdctl's containers, of which `web` publishes two ports."""
    host, container_id = command.world.host, f"default-{fake_id('web')}"
    placed(load("nerdctl"), host)
    host.links().create_bridge("veth1")
    ports = [
        {"HostPort": 8081, "ContainerPort": 80, "Protocol": "tcp", "HostIP": "0.0.0.0"},
        {"HostPort": 5353, "ContainerPort": 53, "Protocol": "udp", "HostIP": "127.0.0.1"},
    ]
    entry = cached(containerId=container_id, capabilityArgs={"portMappings": ports})
    host.files.write(f"{CACHE_DIR}/custom-{container_id}-eth0", json.dumps(entry).encode())
    return command


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (("web",), "53/udp -> 127.0.0.1:5353\n80/tcp -> 0.0.0.0:8081\n"),
        (("default/web", "80"), "0.0.0.0:8081\n"),
        (("shares", "53/UDP"), "127.0.0.1:5353\n"),
        (("none-mode",), ""),
        (("stopped",), ""),
    ],
)
def test_ports_are_printed(web: Command, words: tuple[str, ...], printed: str) -> None:
    assert web.output("port", *words) == printed


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (("web", "81"), 3, "no public port '81/tcp' published for web (LS-P002)"),
        (("web", "0"), 2, "invalid port '0'"),
        (("web", "80/icmp"), 2, "invalid protocol 'icmp'"),
        (("wep",), 3, "did you mean web?"),
        (("--namespace", "prod", "web"), 3, "no such container: web (LS-C001)"),
        (("--runtime", "podman", "web"), 3, "no such container: web (LS-C001)"),
    ],
)
def test_an_error_says_what_is_wrong(web: Command, words: tuple[str, ...], status: int, text: str) -> None:
    done = web("port", *words)
    assert (done.exit_code, done.stdout, text in done.stderr) == (status, "", True)
