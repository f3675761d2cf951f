"""What must hold when things go wrong: processes killed anywhere, many at once, an install on a strange machine."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness import ours, tools
from tests.harness.chain import Attachment, Chain, ChainError
from tests.harness.cnitool import CniTool
from tests.harness.fakehost import FakeHost

pytestmark = pytest.mark.root

KILLS = 50


@pytest.fixture(params=["resident", "standalone"])
def env(request: pytest.FixtureRequest, host: FakeHost) -> Iterator[dict[str, str]]:
    """The plugins' environment: with a resident to ask, or told to work alone."""
    ours.install(host)
    if request.param == "standalone":
        yield ours.STANDALONE
        return
    with ours.resident(host):
        yield ours.RESIDENT


def published(port: int) -> dict[str, list[dict[str, object]]]:
    return {"portMappings": [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]}


def settled(host: FakeHost, chain: Chain) -> None:
    netns = host.add_netns("first")
    first = Attachment("first", netns, capabilities=published(9))
    chain.add(first)
    chain.delete(first)
    host.del_netns("first")


@pytest.mark.slow
def test_killed_anywhere_in_add_then_deleted_leaves_nothing(host: FakeHost, env: dict[str, str]) -> None:
    """A plugin process is killed at random moments of ADD; a DEL without prevResult finds everything."""
    seed = int(os.environ.get("LINKSPAN_SEED", "0")) or random.randrange(1 << 32)
    print(f"LINKSPAN_SEED={seed}")  # noqa: T201 - shown when the test fails, to run it again
    rng = random.Random(seed)
    chain = Chain(ours.conflist("custom"), ours.BIN, host=host, env=env)
    settled(host, chain)
    before = host.snapshot(ignore=ours.STAYS)
    longest = 0.6 if env is ours.STANDALONE else 0.08
    for number in range(KILLS):
        netns = host.add_netns("box")
        attachment = Attachment(f"k{number}", netns, capabilities=published(18080))
        _add_and_kill(host, chain, attachment, rng.uniform(0, longest))
        chain.delete(attachment, forget=True)
        host.del_netns("box")
        assert before.diff(host.snapshot(ignore=ours.STAYS)) == [], f"kill {number}, seed {seed}"


def _add_and_kill(host: FakeHost, chain: Chain, attachment: Attachment, after: float) -> None:
    """Run the chain's ADD plugin by plugin; the one that runs `after` seconds from the start is killed."""
    killer = _Killer(host, after)
    try:
        chain.add(attachment)
    except ChainError:
        pass
    finally:
        killer.stop()


class _Killer:
    """Kills (-9) whichever plugin process of ours runs in the host at one moment."""

    def __init__(self, host: FakeHost, after: float) -> None:
        self._host = host
        self._pool = ThreadPoolExecutor(1)
        self._stopped = False
        self._done = self._pool.submit(self._kill, time.monotonic() + after)

    def _kill(self, when: float) -> None:
        while not self._stopped and time.monotonic() < when:
            time.sleep(0.001)
        while not self._stopped:
            mine = [pid for pid, command in self._host.processes().items() if f"{ours.BIN}/" in command]
            for pid in mine:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                return

    def stop(self) -> None:
        self._stopped = True
        self._done.result()
        self._pool.shutdown()


@pytest.mark.slow
def test_worker_killed_anywhere_in_add_then_deleted_leaves_nothing(host: FakeHost) -> None:
    """The resident's worker dies instead; the caller gets an error or a result, and DEL finds everything."""
    ours.install(host)
    with ours.resident(host):
        chain = Chain(ours.conflist("custom"), ours.BIN, host=host, env=ours.RESIDENT)
        settled(host, chain)
        before = host.snapshot(ignore=ours.STAYS)
        for number in range(KILLS):
            netns = host.add_netns("box")
            attachment = Attachment(f"w{number}", netns, capabilities=published(18080))
            killer = _WorkerKiller(host, random.uniform(0, 0.06))
            try:
                chain.add(attachment)
            except ChainError:
                pass
            finally:
                killer.stop()
            chain.delete(attachment, forget=True)
            host.del_netns("box")
            assert before.diff(host.snapshot(ignore=ours.STAYS)) == [], f"kill {number}"


class _WorkerKiller(_Killer):
    """Kills every worker of the resident at one moment: the children of `linkspan.resident`."""

    def _kill(self, when: float) -> None:
        while not self._stopped and time.monotonic() < when:
            time.sleep(0.001)
        residents = [pid for pid, command in self._host.processes().items() if "linkspan.resident" in command]
        for pid in residents:
            if _parent(pid) in residents:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def test_thirty_at_once_get_thirty_addresses_and_leave_nothing(host: FakeHost, env: dict[str, str]) -> None:
    conflist = ours.conflist("custom")
    settled(host, Chain(conflist, ours.BIN, host=host, env=env))
    before = host.snapshot(ignore=ours.STAYS)
    boxes = [
        Attachment(f"p{number}", host.add_netns(f"box{number}"), capabilities=published(20000 + number))
        for number in range(30)
    ]
    chains = [Chain(conflist, ours.BIN, host=host, env=env) for _ in boxes]
    with ThreadPoolExecutor(30) as pool:
        results = list(pool.map(lambda pair: pair[0].add(pair[1]), zip(chains, boxes, strict=True)))
    assert len({result["ips"][0]["address"] for result in results}) == 30
    with ThreadPoolExecutor(30) as pool:
        list(pool.map(lambda pair: pair[0].delete(pair[1]), zip(chains, boxes, strict=True)))
    for number in range(30):
        host.del_netns(f"box{number}")
    assert before.diff(host.snapshot(ignore=ours.STAYS)) == []


@pytest.mark.slow
@pytest.mark.runtime
def test_a_wheel_in_an_empty_environment_installs_and_works_with_no_environment_at_all(
    host: FakeHost, tmp_path: Path
) -> None:
    """Build the wheel, install it, `linkspan install`, and let cnitool run it under `env -i`; then take it all back."""
    program = tools.require(tools.cnitool)
    python = _wheel_environment(tmp_path)
    directory = "/opt/cni/other"
    host.write(f"{directory}/bridge", "#!/bin/sh\necho theirs\n", mode=0o755)
    command = [python, "-m", "linkspan.cli.main", "install", "--bin-dir", directory]
    assert host.run(command, check=False).returncode != 0
    assert host.run([f"{directory}/bridge"]).stdout == "theirs\n"
    host.run([*command, "--replace"])
    cnitool = CniTool(host, program, directory, env={})
    network = cnitool.network(ours.conflist("bridge"))
    netns = host.add_netns("box")
    for verb in (cnitool.add, cnitool.check, cnitool.delete):
        answer = verb(network, netns)
        assert answer.status == 0, answer.stdout + answer.stderr
    host.run([python, "-m", "linkspan.cli.main", "uninstall", "--bin-dir", directory])
    assert host.run(["ls", "-A", directory]).stdout.split() == ["bridge"]
    assert host.run([f"{directory}/bridge"]).stdout == "theirs\n"


def _wheel_environment(tmp_path: Path) -> str:
    """A virtual environment with nothing but the built wheel and what it depends on; its interpreter."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), ours.ROOT],
        check=True,
        capture_output=True,
    )
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv/bin/python")
    wheel = next(tmp_path.glob("*.whl"))
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True, capture_output=True)
    return python
