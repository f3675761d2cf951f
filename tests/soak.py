"""The long runs, `./dev soak`: churn on a network with 250 containers, ours beside the real Docker engine, and a hundred thousand random calls."""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys

from tests.churn import churn
from tests.harness import ours, tools
from tests.harness.privatehost import PrivateHost


def main() -> int:
    """Run both; 0 if nothing leaked, no address was given twice and no call ended in a fault of ours."""
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="how long containers come and go")
    parser.add_argument("--containers", type=int, default=250, help="how many there are")
    parser.add_argument("--processes", type=int, default=8, help="how many processes attach and detach them")
    parser.add_argument("--examples", type=int, default=100_000, help="random calls in all")
    parser.add_argument("--seed", type=int, default=0, help="to run the same again")
    options = parser.parse_args()
    seed = options.seed or random.randrange(1 << 32)
    print(f"soak: seed {seed}", flush=True)
    faults = _churn(options, seed)
    beside = _docker()
    status = _fuzz(options.examples, seed)
    return 1 if faults or beside or status else 0


def _churn(options: argparse.Namespace, seed: int) -> int:
    with PrivateHost() as host:
        ours.install(host)
        with ours.resident(host):
            churn(host, containers=8, processes=2, seconds=3, seed=seed)
            before = host.snapshot(ignore=ours.STAYS)
            tally = churn(
                host,
                containers=options.containers,
                processes=options.processes,
                seconds=options.seconds,
                seed=seed,
            )
            left = before.diff(host.snapshot(ignore=ours.STAYS))
    print(f"soak: {tally.adds} ADDs, {tally.checks} CHECKs, {tally.deletes} DELs in {options.seconds:.0f} s; "
          f"{len(tally.faults)} faults, {len(left)} things left")  # fmt: skip
    for line in (*tally.faults[:20], *left[:20]):
        print(f"soak: {line}")
    return len(tally.faults) + len(left)


def _docker() -> int:
    print("soak: building the Docker engine, minutes the first time", flush=True)
    tools.dockerd()
    tools.runc_of_docker()
    environment = {**os.environ, "LINKSPAN_DOCKER": "1", "LINKSPAN_REQUIRE_ALL": "1"}
    argv = [sys.executable, "-m", "pytest", "-q", "-m", "docker", "tests/coexistence"]
    return subprocess.run(argv, env=environment, check=False).returncode


def _fuzz(examples: int, seed: int) -> int:
    environment = {**os.environ, "LINKSPAN_FUZZ_EXAMPLES": str(examples), "LINKSPAN_SEED": str(seed)}
    argv = [sys.executable, "-m", "pytest", "-q", "-s", "--timeout=7200", "tests/fuzz"]
    return subprocess.run(argv, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
