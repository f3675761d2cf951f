"""Running cases: each variant in a private host of its own, several at a time in a small pool of processes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass

from tests.conformance.registry import CASES, Case, Failed, NotHere, all_cases
from tests.conformance.suite import Suite
from tests.conformance.world import World
from tests.harness.privatehost import PrivateHost
from tests.harness.processes import end_with_parent

PROCESSES = 2
#: How much of a reason is kept.
LONGEST = 400


#: A variant, and its outcome and reason.
Told = tuple[str, tuple[str, str]]


@dataclass(frozen=True)
class Verdict:
    """How a suite did in one case: outcome "pass", "FAIL" or "n/a", why (empty for a pass), and in how many seconds."""

    number: int
    outcome: str
    reason: str = ""
    seconds: float = 0.0


def judge(case: Case, suite: Suite, partner: Suite | None = None) -> Verdict:
    """Run one case on one suite; every variant must pass. Nothing is raised."""
    started = time.monotonic()
    lacking = [role for role in case.needs if role not in suite.executables]
    if case.each != "role" and lacking:
        return Verdict(case.number, "n/a", f"the suite has no {' and no '.join(lacking)} plugin")
    tried = _by_role if case.each == "role" else _by_variant
    told = list(tried(case, suite, partner))
    if not told:
        return Verdict(case.number, "n/a", f"the suite's manifest names no backend for {case.each}")
    failures = _gathered((variant, reason) for variant, (outcome, reason) in told if outcome == "FAIL")
    absent = [reason for _, (outcome, reason) in told if outcome == "n/a"]
    seconds = round(time.monotonic() - started, 2)
    if failures:
        return Verdict(case.number, "FAIL", failures, seconds)
    if len(absent) == len(told):
        return Verdict(case.number, "n/a", absent[0], seconds)
    return Verdict(case.number, "pass", "", seconds)


def _gathered(failures: Iterable[tuple[str, str]]) -> str:
    """The reasons in one line; variants that fail for one reason are named together."""
    variants: dict[str, list[str]] = {}
    for variant, reason in failures:
        # `bridge ADD: ...` and `ipam ADD: ...` are one reason.
        general = re.sub(rf"\b{variant} (?=[A-Z]{{2,}}\b)", "", reason) if variant else reason
        variants.setdefault(general, []).append(variant)
    return " | ".join(
        f"{', '.join(names)}: {reason}" if names[0] else reason for reason, names in variants.items()
    )


def _by_variant(case: Case, suite: Suite, partner: Suite | None) -> Iterator[Told]:
    """Each backend, or the one run of a case without variants, in a host of its own."""
    for variant in suite.backends.get(case.each, ()) if case.each else ("",):
        with PrivateHost() as host:
            yield variant, _tried(case, World(host, suite, partner, variant))


def _by_role(case: Case, suite: Suite, partner: Suite | None) -> Iterator[Told]:
    """Each role; they share a host as long as all goes well, since making one is most of the work."""
    waiting = [role for role in case.needs if role in suite.executables]
    while waiting:
        with PrivateHost() as host:
            world = World(host, suite, partner)
            outcome = "pass"
            while waiting and outcome == "pass":
                role = waiting.pop(0)
                world.turn_to(role)
                outcome, reason = _tried(case, world)
                yield role, (outcome, reason)


def _tried(case: Case, world: World) -> tuple[str, str]:
    try:
        case.body(world)
    except Failed as failure:
        return "FAIL", str(failure)[:LONGEST]
    except NotHere as reason:
        return "n/a", str(reason)
    except Exception as error:
        return "FAIL", f"the case stopped: {type(error).__name__}: {error}"[:LONGEST]
    return "pass", ""


def chosen(only: str = "") -> list[Case]:
    """The cases that a text such as "60-70,131" or "C,E" names; all for an empty one. Raises ValueError."""
    cases = all_cases()
    if not only:
        return cases
    wanted: set[int] = set()
    for part in only.replace(" ", "").split(","):
        if part.isalpha():
            wanted |= {case.number for case in cases if case.section == part.upper()}
        else:
            first, _, last = part.partition("-")
            wanted |= set(range(int(first), int(last or first) + 1))
    return [case for case in cases if case.number in wanted]


class Pool:
    """A few processes that run cases; close it, or use it in a `with` block."""

    def __init__(self, processes: int = PROCESSES) -> None:
        # Without this the processes of a run that is killed would wait for work for ever.
        self._executor = ProcessPoolExecutor(processes, initializer=end_with_parent)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, case: Case, suite: Suite, partner: Suite | None = None) -> Future[Verdict]:
        """Have a case run; its verdict comes as a future."""
        return self._executor.submit(_judge_by_number, case.number, suite, partner)

    def run(
        self, cases: Iterable[Case], columns: Mapping[str, Suite]
    ) -> Iterator[tuple[Case, dict[str, Verdict]]]:
        """Run every case on every suite (column name -> suite) and yield them in order; each suite is the others' partner."""
        waiting = [
            (case, {name: self.submit(case, columns[name], _partner(columns, name)) for name in columns})
            for case in cases
        ]
        for case, futures in waiting:
            yield case, {name: future.result() for name, future in futures.items()}

    def close(self) -> None:
        """End the processes; what has not begun is dropped."""
        self._executor.shutdown(cancel_futures=True)


def _judge_by_number(number: int, suite: Suite, partner: Suite | None) -> Verdict:
    """In a process of the pool, where the cases are loaded anew."""
    all_cases()
    return judge(CASES[number], suite, partner)


def _partner(columns: Mapping[str, Suite], name: str) -> Suite | None:
    return next((suite for other, suite in columns.items() if other != name), None)
