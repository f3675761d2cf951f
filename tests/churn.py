"""Containers that come and go in random order, from several processes at once, for as long as one likes.

    churn(host, containers=250, processes=8, seconds=300, seed=7)

Every attachment writes down its address where no second one can while it lives, so that a duplicate is seen at once; the caller
compares the host before and after. `./dev soak` runs it long, tests/system/test_churn.py short: the same code.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from tests.harness import ours
from tests.harness.chain import Attachment, Chain
from tests.harness.privatehost import PrivateHost

#: Inside the host: a file for each address in use, named by it.
IN_USE = "/run/churn"


@dataclass(frozen=True)
class Tally:
    """How many ADDs, CHECKs and DELs went well, and what did not, as sentences."""

    adds: int = 0
    checks: int = 0
    deletes: int = 0
    faults: tuple[str, ...] = ()

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.adds + other.adds,
            self.checks + other.checks,
            self.deletes + other.deletes,
            (*self.faults, *other.faults),
        )


def network(backend: str) -> dict[str, Any]:
    """A network with everything: masquerade, ports, names. Its range has little more room than there are containers."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/23"}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {
        "type": "bridge",
        "bridge": "churn0",
        "isGateway": True,
        "ipMasq": True,
        "ipMasqBackend": backend,
        "ipam": ipam,
    }
    portmap = {"type": "portmap", "backend": backend, "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.1.0", "name": "churn", "plugins": [bridge, portmap, {"type": "dns"}]}


def churn(
    host: PrivateHost,
    *,
    containers: int,
    processes: int,
    seconds: float,
    seed: int,
    backend: str = "nftables",
) -> Tally:
    """Let each process attach and detach its share of the containers until the time is over, then detach what is left."""
    for number in range(containers):
        host.add_netns(f"c{number}")
    host.run(["mkdir", "-p", IN_USE])
    started = [
        host.popen(_argv(range(each, containers, processes), seconds, seed + each, backend))
        for each in range(processes)
    ]
    tally = sum((Tally(**json.loads(run.communicate()[0])) for run in started), Tally())
    for number in range(containers):
        host.del_netns(f"c{number}")
    host.run(["rm", "-rf", IN_USE])
    return tally


def _argv(numbers: range, seconds: float, seed: int, backend: str) -> list[str]:
    script = "import json, sys; from tests.churn import run; run(*json.loads(sys.argv[1]))"
    return [sys.executable, "-c", script, json.dumps([list(numbers), seconds, seed, backend])]


def run(numbers: list[int], seconds: float, seed: int, backend: str) -> None:
    """One process's part, inside the host; prints its tally as JSON."""
    sys.stdout.write(json.dumps(asdict(_run(numbers, seconds, seed, backend))))


def _run(numbers: list[int], seconds: float, seed: int, backend: str) -> Tally:
    rng = random.Random(seed)
    chain = Chain(network(backend), ours.BIN, env=ours.RESIDENT, cwd="/")
    living: dict[int, str] = {}
    tally = Tally()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        number = rng.choice(numbers)
        tally += _leave(chain, number, living, rng) if number in living else _join(chain, number, living)
    for number in list(living):
        tally += _leave(chain, number, living, rng)
    return tally


def _join(chain: Chain, number: int, living: dict[int, str]) -> Tally:
    attachment = _attachment(number)
    try:
        address = chain.add(attachment)["ips"][0]["address"].partition("/")[0]
    except Exception as error:
        gone = _tried("DEL", number, lambda: chain.delete(attachment, forget=True), Tally())
        return Tally(faults=(f"ADD c{number}: {error}",)) + gone
    living[number] = address
    try:
        os.close(os.open(f"{IN_USE}/{address}", os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return Tally(adds=1, faults=(f"{address} was given to c{number} while another container had it",))
    return Tally(adds=1)


def _leave(chain: Chain, number: int, living: dict[int, str], rng: random.Random) -> Tally:
    """CHECK and DEL; every third DEL comes without a previous result. A fault of CHECK does not spare the DEL, as with runtimes."""
    attachment = _attachment(number)
    os.unlink(f"{IN_USE}/{living.pop(number)}")
    forget = rng.random() < 1 / 3
    return _tried("CHECK", number, lambda: chain.check(attachment), Tally(checks=1)) + _tried(
        "DEL", number, lambda: chain.delete(attachment, forget=forget), Tally(deletes=1)
    )


def _tried(verb: str, number: int, call: Callable[[], object], well: Tally) -> Tally:
    try:
        call()
    except Exception as error:
        return Tally(faults=(f"{verb} c{number}: {error}",))
    return well


def _attachment(number: int) -> Attachment:
    ports = {"portMappings": [{"hostPort": 20000 + number, "containerPort": 80, "protocol": "tcp"}]}
    return Attachment(f"churn-{number}", f"/run/netns/c{number}", capabilities=ports)
