"""`linkspan network disconnect`."""

from __future__ import annotations

from linkspan.call.plugin import MODULES
from tests.harness.memory import BOX
from tests.unit.cli.conftest import Command


def test_disconnect_with_force_does_not_fail(command: Command) -> None:
    command.world.create("custom")
    command.world.host.files.write(BOX, b"")
    command.world.host.add_netns(BOX)
    assert command("disconnect", "custom", "box").exit_code == 3
    assert command.output("disconnect", "--force", "custom", "box") == ""


def test_what_the_runtime_attached_comes_back_and_that_is_said(command: Command) -> None:
    command.world.create("custom")
    for each in MODULES:
        command.world.host.processes.own[f"/opt/cni/bin/{each}"] = each
    command.world.attach("custom", "web")
    command.world.host.files.write(BOX, b"")
    done = command("disconnect", "--bin-dir", "/opt/cni/bin", "custom", "box")
    assert (done.exit_code, done.stdout, "restarts it" in done.stderr) == (0, "", True)
    assert command.world.host.links(BOX).get("eth0") is None
