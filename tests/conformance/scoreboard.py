"""The verdicts as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from tests.conformance.registry import SECTIONS, Case
from tests.conformance.runner import Verdict

Row = tuple[Case, dict[str, Verdict]]

_DEMAND = 76


def lines(row: Row, columns: Sequence[str]) -> Iterator[str]:
    """One case: its demand and each column's outcome, and below it why where one is not a pass."""
    case, verdicts = row
    shown = textwrap.wrap(case.demand, _DEMAND)
    outcomes = "".join(f"{verdicts[name].outcome:>10}" for name in columns)
    yield f"{case.number:>4}  {shown[0]:<{_DEMAND}}{outcomes}"
    yield from (f"      {more}" for more in shown[1:])
    for name in columns:
        if verdicts[name].reason:
            reason = f"{name}: {verdicts[name].reason}"
            yield textwrap.fill(reason, 110, initial_indent=" " * 10, subsequent_indent=" " * 12)


def heading(letter: str, columns: Sequence[str]) -> str:
    """The first line of a section."""
    return f"\n{letter}. {SECTIONS[letter].title:<{_DEMAND + 3}}" + "".join(f"{name:>10}" for name in columns)


def totals(rows: Iterable[Row], columns: Sequence[str]) -> Iterator[str]:
    """What each section and all of them come to: passed of those that could run, for each column."""
    counted: dict[str, dict[str, Counter[str]]] = {}
    for case, verdicts in rows:
        for name in columns:
            for group in (case.section, "all"):
                counted.setdefault(group, {}).setdefault(name, Counter())[verdicts[name].outcome] += 1
    groups = [*(each for each in sorted(counted) if each != "all"), "all"]
    yield "\npassed of those that could run (n/a apart)"
    for group in groups if counted else ():
        title = f"{group}. {SECTIONS[group].title}" if group in SECTIONS else "all"
        yield f"  {title:<{_DEMAND - 24}}" + "".join(_share(counted[group][name]) for name in columns)


def _share(outcomes: Counter[str]) -> str:
    ran = outcomes["pass"] + outcomes["FAIL"]
    apart = f" ({outcomes['n/a']} n/a)" if outcomes["n/a"] else ""
    text = f"{outcomes['pass']} of {ran}{apart}"
    return f"{text:>24}"


def as_json(rows: Iterable[Row], columns: dict[str, str]) -> str:
    """The same for a program; `columns` is column name -> the suite's name."""
    cases = [
        {
            "case": case.number,
            "section": case.section,
            "demand": case.demand,
            "verdicts": {
                name: {"outcome": each.outcome, "reason": each.reason, "seconds": each.seconds}
                for name, each in verdicts.items()
            },
        }
        for case, verdicts in rows
    ]
    return json.dumps({"columns": columns, "cases": cases}, indent=1) + "\n"
