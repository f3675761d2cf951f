"""Both implementations in one private host, which the tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import ours, tools
from tests.harness.privatehost import PrivateHost
from tests.interchange.mixes import THEIRS, side


@pytest.fixture(scope="module")
def reference() -> str:
    """The directory of the reference plugins."""
    return tools.require(tools.reference_plugins)


@pytest.fixture(scope="module")
def host() -> Iterator[PrivateHost]:
    """A host with our executables and a resident."""
    with PrivateHost() as made:
        ours.install(made)
        with ours.resident(made):
            yield made


@pytest.fixture(scope="module")
def sides(host: PrivateHost, reference: str) -> dict[str, list[str]]:
    """CNI_PATH of ours alone and of the reference's alone."""
    return {"ours": side(host, reference, ()), "theirs": side(host, reference, THEIRS)}
