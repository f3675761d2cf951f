"""How much of a long test runs, and which random choices it makes.

Whatever takes over a minute by itself (kill storms, matrices, campaigns) runs whole in `./dev soak`, which
sets LINKSPAN_SOAK, and shortened everywhere else. This is the only module that knows which of the two it is.
Mark such a test `soak`.

    KILLS = scaled(short=10, whole=50)
    @pytest.mark.parametrize("pair", sample(PAIRS, short=12))
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

WHOLE = os.environ.get("LINKSPAN_SOAK", "") not in ("", "0")
"""Whether nothing is shortened or left out."""

SEED = int(os.environ.get("LINKSPAN_SEED") or random.randrange(1 << 32))
"""Of every random choice of a test, which names it when it fails; LINKSPAN_SEED repeats a run."""


def scaled(short: T, whole: T) -> T:
    """Return `whole` in `./dev soak`, else `short`: a count, seconds, a range."""
    return whole if WHOLE else short


def sample(cases: Sequence[T], short: int) -> list[T]:
    """Return all cases in `./dev soak`, else `short` of them, evenly spaced from the first to the last."""
    if WHOLE or len(cases) <= short:
        return list(cases)
    return [cases[round(number * (len(cases) - 1) / max(1, short - 1))] for number in range(short)]
