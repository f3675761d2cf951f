"""What must hold when things go wrong: processes killed anywhere, many at once, an install on a strange machine."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.harness import ours, tools
from tests.harness.chain import Attachment, Chain, ChainError
from tests.harness.cnitool import CniTool
from tests.harness.privatehost import PrivateHost
from tests.harness.scale import SEED, scaled

pytestmark = pytest.mark.root

KILLS = scaled(short=10, whole=50)
#: How many times as many kills are tried: one that comes between two plugins stops no ADD.
MISSES = 10


@pytest.fixture(params=["resident", "standalone"])
def env(request: pytest.FixtureRequest, host: PrivateHost) -> Iterator[dict[str, str]]:
    """The plugins' environment: with a resident to ask, or told to work alone."""
    ours.install(host)
    if request.param == "standalone":
        yield ours.STANDALONE
        return
    with ours.resident(host):
        yield ours.RESIDENT


def published(port: int) -> dict[str, list[dict[str, object]]]:
    return {"portMappings": [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]}


def settled(host: PrivateHost, chain: Chain) -> float:
    """Make what outlives an attachment, and say how many seconds an ADD takes: a few, the quickest of them."""
    taken = []
    for number in range(3):
        first = Attachment("first", host.add_netns("first"), capabilities=published(9 + number))
        started = time.monotonic()
        chain.add(first)
        taken.append(time.monotonic() - started)
        chain.delete(first)
        host.del_netns("first")
    return min(taken)


@pytest.mark.soak
def test_killed_anywhere_in_add_then_deleted_leaves_nothing(host: PrivateHost, env: dict[str, str]) -> None:
    """A plugin process is killed at random moments of ADD; a DEL without prevResult finds everything."""
    _kill_adds(host, Chain(ours.conflist("custom"), ours.BIN, host=host, env=env), _Killer)


def _kill_adds(host: PrivateHost, chain: Chain, killer: Callable[[float], _Killer]) -> None:
    """Kill at random moments of an ADD until enough kills have stopped one; each time DEL leaves nothing."""
    rng = random.Random(SEED)
    longest = settled(host, chain)
    before = host.snapshot(ignore=ours.STAYS)
    killed = 0
    for number in range(MISSES * KILLS):
        netns = host.add_netns("box")
        attachment = Attachment(f"k{number}", netns, capabilities=published(18080))
        killed += _add_and_kill(chain, attachment, killer(rng.uniform(0, longest)))
        chain.delete(attachment, forget=True)
        host.del_netns("box")
        assert before.diff(host.snapshot(ignore=ours.STAYS)) == [], f"kill {number}, LINKSPAN_SEED={SEED}"
        if killed == KILLS:
            return
    pytest.fail(f"only {killed} of {MISSES * KILLS} kills stopped an ADD")


def _add_and_kill(chain: Chain, attachment: Attachment, killer: _Killer) -> bool:
    """Run the chain's ADD plugin by plugin while the killer waits for its moment; whether that stopped the ADD."""
    try:
        chain.add(attachment)
    except ChainError:
        return True
    finally:
        killer.stop()
    return False


class _Killer:
    """Kills (-9) the plugin process that runs at one moment, `after` seconds from now."""

    def __init__(self, after: float) -> None:
        self._caller = threading.get_native_id()
        self._spared = set(_children(os.getpid(), self._caller))
        self._pool = ThreadPoolExecutor(1)
        self._stopped = False
        self._done = self._pool.submit(self._kill, time.monotonic() + after)

    def _kill(self, when: float) -> None:
        while not self._stopped and time.monotonic() < when:
            time.sleep(0.0005)
        while not self._stopped:
            for pid in set(_children(os.getpid(), self._caller)) - self._spared:
                # What enters the host's namespaces is not the plugin yet.
                if _program(pid) not in ("", "nsenter"):
                    os.kill(pid, signal.SIGKILL)
                    return

    def stop(self) -> None:
        self._stopped = True
        self._done.result()
        self._pool.shutdown()


@pytest.mark.soak
def test_worker_killed_anywhere_in_add_then_deleted_leaves_nothing(host: PrivateHost) -> None:
    """The resident's worker dies instead; the caller gets an error or a result, and DEL finds everything."""
    ours.install(host)
    with ours.resident(host):
        chain = Chain(ours.conflist("custom"), ours.BIN, host=host, env=ours.RESIDENT)
        _kill_adds(host, chain, partial(_WorkerKiller, host))


class _WorkerKiller(_Killer):
    """Kills every worker of the resident at one moment."""

    def __init__(self, host: PrivateHost, after: float) -> None:
        residents = [pid for pid, command in host.processes().items() if "linkspan/workers" in command]
        (self._master,) = [pid for pid in residents if _children(pid, pid)]
        super().__init__(after)

    def _kill(self, when: float) -> None:
        while not self._stopped and time.monotonic() < when:
            time.sleep(0.0005)
        for pid in _children(self._master, self._master):
            os.kill(pid, signal.SIGKILL)


def _children(pid: int, thread: int) -> list[int]:
    """The processes that a thread of a process started and that still run or were not waited for."""
    with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
        return [int(each) for each in file.read().split()]


def _program(pid: int) -> str:
    """The name of the file that a process executes, "" if it is gone."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""


def test_thirty_at_once_get_thirty_addresses_and_leave_nothing(
    host: PrivateHost, env: dict[str, str]
) -> None:
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


@pytest.mark.runtime
def test_a_wheel_in_an_empty_environment_installs_and_works_with_no_environment_at_all(
    host: PrivateHost, tmp_path: Path
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
    assert host.run(["head", "-c4", f"{directory}/bridge"]).stdout == "\x7fELF"
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
