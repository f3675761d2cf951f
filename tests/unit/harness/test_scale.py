"""Long tests are shortened everywhere but in `./dev soak`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.harness import scale


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `./dev soak`."""
    monkeypatch.setattr(scale, "WHOLE", True)


@pytest.fixture
def ordinary(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `./dev test`."""
    monkeypatch.setattr(scale, "WHOLE", False)


def test_soak_runs_everything(soak: None) -> None:
    assert (scale.scaled(1, 50), scale.sample(range(100), 3)) == (50, list(range(100)))


@pytest.mark.parametrize(
    ("count", "short", "chosen"),
    [(100, 4, [0, 33, 66, 99]), (5, 2, [0, 4]), (5, 1, [0]), (3, 3, [0, 1, 2]), (2, 10, [0, 1]), (0, 3, [])],
)
def test_an_ordinary_run_takes_evenly_spaced_cases_from_first_to_last(
    ordinary: None, count: int, short: int, chosen: list[int]
) -> None:
    assert scale.sample(range(count), short) == chosen


def test_an_ordinary_run_takes_the_short_form(ordinary: None) -> None:
    assert scale.scaled(short=1, whole=50) == 1


@pytest.mark.parametrize(("value", "whole"), [("1", True), ("", False), ("0", False)])
def test_the_environment_decides(value: str, whole: bool) -> None:
    script = "from tests.harness.scale import SEED, WHOLE; print(WHOLE, SEED)"
    env = {"LINKSPAN_SOAK": value, "LINKSPAN_SEED": "7"}
    assert subprocess.check_output([sys.executable, "-c", script], env=env, text=True) == f"{whole} 7\n"
