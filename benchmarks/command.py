"""What the network verbs cost from a cold start, with many containers on a network: `python -m
benchmarks.command`.

Each is timed as a user types it, a process from its start to its end, in a new order every round. The
containers are network namespaces that cnitool attaches, so that records and libcni's cache have an entry for
each. All figures are milliseconds.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.harness import ours, tools
from tests.harness.cnitool import CniTool
from tests.harness.privatehost import PrivateHost

NETWORK = "custom"
#: What is typed after `linkspan`. `rm` is refused, since the network is in use; `create` chooses a subnet and
#: writes nothing.
COMMANDS = (
    "--version",
    "--help",
    "ls",
    "ls --quiet",
    "ls --format {{.Name}}",
    "ls --output wide",
    f"inspect {NETWORK}",
    "create --dry-run other",
    f"rm {NETWORK}",
    "ps",
    "ps --output json",
    "port box7",
    "exec box7 true",
    "check box7",
    "status",
    "gc",
)


@contextmanager
def crowded_host(containers: int) -> Iterator[PrivateHost]:
    """A host with so many containers on one network."""
    with PrivateHost() as host:
        ours.install(host)
        ours.linkspan(host, "resident", "start")
        ours.linkspan(host, "network", "create", "--shared", NETWORK)
        tool = CniTool(host, tools.cnitool(), ours.BIN)
        for number in range(containers):
            answer = tool.add(NETWORK, host.add_netns(f"box{number}"))
            if answer.status:
                raise RuntimeError(answer.stderr)
        yield host


def measured(host: PrivateHost, rounds: int) -> Mapping[str, Sequence[float]]:
    """Command -> its times; what entering the host costs is in all of them (1 to 2 ms)."""
    program = os.path.join(os.path.dirname(sys.executable), "linkspan")
    times: dict[str, list[float]] = {each: [] for each in COMMANDS}
    for _ in range(rounds):
        for command in random.sample(COMMANDS, len(COMMANDS)):
            argv = host.argv([program, *command.split()])
            started = time.perf_counter()
            subprocess.run(argv, capture_output=True, check=False)
            times[command].append((time.perf_counter() - started) * 1000)
    return times


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--containers", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    with crowded_host(options.containers) as host:
        times = measured(host, options.rounds)
    print(f"{options.containers} containers, {options.rounds} rounds: ms")
    print(f"{'linkspan':28}{'fastest':>9}{'median':>9}")
    for command, found in times.items():
        print(f"{command:28}{min(found):9.1f}{statistics.median(found):9.1f}")


if __name__ == "__main__":
    main()
