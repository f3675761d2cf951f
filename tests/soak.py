"""The long runs, `./dev soak`: churn on a network with 250 containers, and every test that `./dev test`
shortens or leaves out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from tests.churn import churn
from tests.harness import ours, scale, tools
from tests.harness.privatehost import PrivateHost


def main() -> int:
    """Run both; 0 if nothing was left behind, no address was given twice and every test passed."""
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="how long containers come and go")
    parser.add_argument("--containers", type=int, default=250, help="how many there are")
    parser.add_argument("--processes", type=int, default=8, help="how many processes attach and detach them")
    parser.add_argument("tests", nargs="*", help="arguments of pytest, instead of every test of this kind")
    options = parser.parse_args()
    print(f"soak: LINKSPAN_SEED={scale.SEED}", flush=True)
    faults = _churn(options)
    status = _tests(options.tests)
    return 1 if faults or status else 0


def _churn(options: argparse.Namespace) -> int:
    """The number of faults and of things left behind."""
    with PrivateHost() as host:
        ours.install(host)
        with ours.resident(host):
            churn(host, containers=8, processes=2, seconds=3, seed=scale.SEED)
            before = host.snapshot(ignore=ours.STAYS)
            tally = churn(
                host,
                containers=options.containers,
                processes=options.processes,
                seconds=options.seconds,
                seed=scale.SEED,
            )
            left = before.diff(host.snapshot(ignore=ours.STAYS))
    print(f"soak: {tally.adds} ADDs, {tally.checks} CHECKs, {tally.deletes} DELs in {options.seconds:.0f} s; "
          f"{len(tally.faults)} faults, {len(left)} things left")  # fmt: skip
    for line in (*tally.faults[:20], *left[:20]):
        print(f"soak: {line}")
    return len(tally.faults) + len(left)


def _tests(arguments: list[str]) -> int:
    """The status of pytest; the tests see that they are to run whole (tests/harness/scale.py)."""
    print("soak: building the Docker engine, which takes minutes the first time", flush=True)
    tools.dockerd()
    tools.runc_of_docker()
    seed = str(scale.SEED)
    environment = {**os.environ, "LINKSPAN_SOAK": "1", "LINKSPAN_SEED": seed, "LINKSPAN_REQUIRE_ALL": "1"}
    argv = [sys.executable, "-m", "pytest", "-m", "soak or docker", "--timeout=7200", *arguments]
    return subprocess.run(argv, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
