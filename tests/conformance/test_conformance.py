"""Every case, on our own plugins: what `./dev conformance` shows in our column."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tests.conformance.registry import CASES, Case, all_cases
from tests.conformance.runner import Pool, Verdict
from tests.conformance.suite import HERE, Suite, load
from tests.harness import tools
from tests.harness.cache import Unavailable

pytestmark = pytest.mark.root


@pytest.fixture(scope="session")
def verdicts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[int, Future[Verdict]]]:
    """Case number -> its verdict to come, for the cases chosen: they run in a small pool while earlier ones are reported."""
    ours = load(f"{HERE}/manifests/linkspan.json", str(tmp_path_factory.mktemp("ours")))
    partner = _reference(str(tmp_path_factory.mktemp("reference")))
    with Pool() as pool:
        yield {number: pool.submit(CASES[number], ours, partner) for number in _chosen(request.session)}


def _chosen(session: pytest.Session) -> list[int]:
    specs = [getattr(item, "callspec", None) for item in session.items]
    return [
        spec.params["case"].number for spec in specs if spec and isinstance(spec.params.get("case"), Case)
    ]


def _reference(target: str) -> Suite | None:
    """The reference plugins, if they were fetched; only cases that mix two suites want them."""
    try:
        source = tools.reference_plugins(fetch=False)
    except Unavailable:
        return None
    return load(f"{HERE}/manifests/reference.json", target, source)


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: f"{case.number}-{case.body.__name__}")
def test_our_plugins_do_what_the_case_demands(case: Case, verdicts: dict[int, Future[Verdict]]) -> None:
    """The demand is the case's own sentence."""
    verdict = verdicts[case.number].result()
    if verdict.outcome == "n/a":
        tools.skip(verdict.reason)
    if verdict.outcome == "FAIL":
        pytest.fail(f"{case.number}: {case.demand}: {verdict.reason}", pytrace=False)


def test_cases_are_numbered_without_gaps() -> None:
    """A case that was lost would be missed by nobody."""
    assert [case.number for case in all_cases()] == list(range(1, 178))
