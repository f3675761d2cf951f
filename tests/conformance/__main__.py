"""`python -m tests.conformance`: run the cases and print the scoreboard; see README.md."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.conformance import scoreboard
from tests.conformance.registry import Case
from tests.conformance.runner import PROCESSES, Pool, chosen
from tests.conformance.suite import HERE, NoSuite, Suite, load, manifest_for
from tests.harness import tools
from tests.harness.cache import Unavailable

OURS, OTHER = "ours", "other"


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="dev conformance", description="Try CNI plugins from outside.")
    parser.add_argument(
        "--plugins", metavar="DIR", help="the other column: this plugin directory [the reference plugins]"
    )
    parser.add_argument(
        "--manifest", metavar="FILE", help="its manifest [DIR/conformance.json, else the usual names]"
    )
    parser.add_argument(
        "--column", choices=(OURS, OTHER, "both"), default="both", help="which columns to run [both]"
    )
    parser.add_argument(
        "--only", metavar="CASES", default="", help="cases and sections, such as 60-70,131,E [all]"
    )
    parser.add_argument("--json", metavar="FILE", help="write the verdicts there as well")
    parser.add_argument("--processes", type=int, default=PROCESSES, help="cases at a time [%(default)s]")
    return parser.parse_args(argv)


@contextmanager
def suites(wanted: argparse.Namespace) -> Iterator[dict[str, Suite]]:
    """Column name -> suite, with the executables in a temporary directory. Raises NoSuite and Unavailable."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as work:
        os.chmod(work, 0o755)
        found: dict[str, Suite] = {}
        if wanted.column != OTHER:
            found[OURS] = load(f"{HERE}/manifests/linkspan.json", f"{work}/{OURS}")
        if wanted.column != OURS:
            directory = wanted.plugins or tools.reference_plugins()
            manifest = wanted.manifest or (
                manifest_for(directory) if wanted.plugins else f"{HERE}/manifests/reference.json"
            )
            found[OTHER] = load(manifest, f"{work}/{OTHER}", directory)
        yield found


def main(argv: Sequence[str]) -> int:
    """Run, print, and return 1 if our column (the other one, where ours is left out) has a failure."""
    wanted = arguments(argv)
    try:
        cases = chosen(wanted.only)
        with suites(wanted) as columns, Pool(wanted.processes) as pool:
            return _run(wanted, pool, cases, columns)
    except (NoSuite, Unavailable, ValueError, OSError) as error:
        sys.stderr.write(f"conformance: {error}\n")
        return 2


def _run(wanted: argparse.Namespace, pool: Pool, cases: list[Case], columns: dict[str, Suite]) -> int:
    started, rows, names, section = time.monotonic(), [], list(columns), ""
    for row in pool.run(cases, columns):
        if row[0].section != section:
            section = row[0].section
            _say(scoreboard.heading(section, names))
        for line in scoreboard.lines(row, names):
            _say(line)
        rows.append(row)
    for line in scoreboard.totals(rows, names):
        _say(line)
    _say(
        f"\n{', '.join(f'{name} is {suite.name}' for name, suite in columns.items())}; {time.monotonic() - started:.0f} s"
    )
    if wanted.json:
        with open(wanted.json, "w", encoding="utf-8") as file:
            file.write(scoreboard.as_json(rows, {name: suite.name for name, suite in columns.items()}))
    return int(any(verdicts[names[0]].outcome == "FAIL" for _, verdicts in rows))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
