"""`linkspan network connect` and `disconnect`: silent, and clear when they fail."""

from __future__ import annotations

import pytest

from linkspan.call.plugin import MODULES
from tests.harness.memory import BOX
from tests.unit.cli.conftest import Command


@pytest.fixture
def box(command: Command) -> Command:
    """A world with a network and a network namespace, `box`."""
    command.world.create("custom")
    for each in MODULES:
        command.world.host.processes.own[f"/opt/cni/bin/{each}"] = each
    command.world.host.files.write(BOX, b"")
    command.world.host.add_netns(BOX)
    return command


def test_connect_and_disconnect_print_nothing(box: Command) -> None:
    assert box.output("connect", "--bin-dir", "/opt/cni/bin", "--ip", "172.17.0.9", "custom", "box") == ""
    assert box.world.host.links(BOX).addresses("eth0") == ("172.17.0.9/16",)
    assert "box" in box.output("ps", "custom", "--format", "{{.Names}}")
    assert box.output("network", "disconnect", "--bin-dir", "/opt/cni/bin", "custom", "box") == ""
    assert box.world.host.links(BOX).get("eth0") is None


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("connect", "custon", "box"), 3, "LS-N002"),
        (("connect", "custom", "bax"), 3, "LS-C001"),
        (("connect", "host", "box"), 4, "LS-C006"),
        (("disconnect", "custom", "box"), 3, "LS-C008"),
    ],
)
def test_an_error_has_its_code(box: Command, words: tuple[str, ...], status: int, code: str) -> None:
    done = box(words[0], "--bin-dir", "/opt/cni/bin", *words[1:])
    assert (done.exit_code, done.stdout, f"({code})" in done.stderr) == (status, "", True)
