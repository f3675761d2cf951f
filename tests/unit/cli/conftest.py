"""The command on a configuration directory of its own and a host in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from linkspan.cli.group import group
from tests.harness import ours
from tests.unit.runtime.world import World


class Command:
    """`linkspan` with a world; what it says is kept apart by stream."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __call__(self, *arguments: str, **options: str) -> Result:
        """Run it."""
        env = {
            "NETCONFPATH": str(self.world.path),
            "CONTAINERD_NAMESPACE": "default",
            "CNI_PATH": f"{ours.ROOT}/plugins/bridge",
        }
        return CliRunner().invoke(group, arguments, env=env, **options)  # type: ignore[arg-type]

    def output(self, *arguments: str) -> str:
        """Run it and return what it printed on stdout."""
        done = self(*arguments)
        assert (done.exit_code, done.stderr) == (0, ""), done.output
        return done.stdout


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command in an empty world."""
    world = World(tmp_path)
    monkeypatch.setattr("linkspan.host.linux.LinuxHost", lambda **_: world.host)
    return Command(world)
