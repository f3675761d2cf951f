"""Our plugins answer what podman, ctr, CRI, nerdctl and cnitool ask as the reference did, or better where differences.md says so."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

import pytest

from tests.captures.replay import RUNTIMES, Call, Replay, calls, differences, documented, lanes
from tests.harness import ours
from tests.harness.privatehost import PrivateHost

NAMES = [call.name for runtime in RUNTIMES for call in calls(runtime)]
DOCUMENTED = documented()


@pytest.fixture(scope="module")
def found() -> Iterator[dict[str, list[str]]]:
    """Every call's name with where our answer differs."""
    with PrivateHost() as host:
        ours.install(host)
        with ours.resident(host):
            yield {
                name: lines
                for runtime in RUNTIMES
                for lane in lanes(calls(runtime))
                for name, lines in replayed(host, lane)
            }


def replayed(host: PrivateHost, lane: list[Call]) -> Iterator[tuple[str, list[str]]]:
    replay = Replay(host)
    for call in lane:
        yield call.name, replay.compare(call)
    replay.end()


@pytest.mark.root
@pytest.mark.parametrize("name", NAMES)
def test_the_answer_is_the_references_or_a_better_one_that_is_listed(
    name: str, found: dict[str, list[str]]
) -> None:
    listed = [difference for pattern, difference in DOCUMENTED if fnmatchcase(name, pattern)]
    assert sorted(found[name]) == sorted(listed)


@pytest.mark.parametrize("pattern", sorted({pattern for pattern, _ in DOCUMENTED}))
def test_a_listed_difference_is_of_a_call_that_was_recorded(pattern: str) -> None:
    assert any(fnmatchcase(name, pattern) for name in NAMES)


def test_no_two_calls_have_one_name() -> None:
    """A name is what a row of the list means."""
    assert len(NAMES) == len(set(NAMES)) == 225


def test_a_difference_in_meaning_is_seen_and_one_in_form_is_not() -> None:
    theirs = {"dns": {}, "ips": [{"address": "10.0.0.2/24", "interface": 2}], "routes": []}
    assert differences(theirs, {"ips": [{"address": "10.0.0.2/24", "interface": 2}]}) == []
    assert differences(theirs, {"ips": [{"address": "10.0.0.2/24", "interface": 0}]}) == [
        "ips[0].interface: 2 -> 0"
    ]
    assert differences(theirs, {}) == ['ips: [{"address": "10.0.0.2/24", "interface": 2}] -> nothing']
