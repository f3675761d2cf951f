"""The calls of real nerdctl, traced and made again: in the recorded world, to the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import ours, tools
from tests.harness.containerd import Containerd
from tests.harness.nerdctl import Nerdctl
from tests.harness.privatehost import PrivateHost

pytestmark = [pytest.mark.root, pytest.mark.runtime]


@pytest.fixture
def traces(
    host: PrivateHost, archive: str, runs: Callable[[str], None], resident: None, tmp_path: Path
) -> Iterator[list[Path]]:
    """The traces of one `nerdctl run -p` and `rm -f` on a network of nerdctl's own."""
    directory, runc, program = (
        tools.require(each) for each in (tools.containerd24, tools.runc, tools.nerdctl)
    )
    folder = host.path("/run/traces")
    with Containerd(host, directory, runc) as containerd:
        containerd.load(archive)
        with Nerdctl(containerd, program) as nerdctl:
            runs(f"{nerdctl.version} on {containerd.version.partition('+')[0]}")
            nerdctl.run("network", "create", "front")
            ours.linkspan(host, "trace-calls", "on", "/run/traces")
            nerdctl.start("web", "--network", "front", "--publish", "18080:80", command=["sleep", "1000"])
            nerdctl.run("rm", "--force", "web")
            ours.linkspan(host, "trace-calls", "off")
            yield sorted(Path(folder).iterdir())


def replayed(path: Path) -> tuple[int, str, Any]:
    """(exit status, what `linkspan replay` prints, the recorded answer)."""
    argv = [sys.executable, "-m", "linkspan.cli.main", "replay", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr, json.loads(path.read_text())["answer"]["stdout"]


def test_every_call_of_nerdctl_is_replayed_to_the_same_bytes(traces: list[Path]) -> None:
    calls = [path.name.split("-")[1:3] for path in traces]
    assert ["ADD", "bridge"] in calls
    assert ["ADD", "portmap"] in calls
    assert ["DEL", "bridge"] in calls
    for path in traces:
        status, printed, recorded = replayed(path)
        assert (status, printed) == (0, recorded), path.name
