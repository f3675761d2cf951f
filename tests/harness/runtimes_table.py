"""The table of runtimes that a run of their tests ends with.

tests/conftest.py imports the hook: with several test processes, the one that reports loads no other
conftest.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print a line for each scenario: the runtime, its version, what was tried, how it went."""
    rows = sorted(
        {
            _row(report, outcome)
            for outcome in ("passed", "failed", "error", "skipped", "xfailed")
            for report in terminalreporter.stats.get(outcome, ())
            if Path(report.nodeid.partition("::")[0]).parent.name == "runtimes"
        }
    )
    if not rows:
        return
    terminalreporter.section("runtimes")
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        terminalreporter.write_line(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        )


def _row(report: Any, outcome: str) -> tuple[str, str, str, str]:
    file, _, test = report.nodeid.partition("::")
    runtime = os.path.basename(file).removeprefix("test_").removesuffix(".py")
    if outcome == "skipped":
        return runtime, "-", "what is not in this table", outcome
    version = dict(report.user_properties).get("runtime version", "-")
    return runtime, version, test.removeprefix("test_").replace("_", " "), outcome
