"""libcni's cache, from the names of its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from linkspan.runtime import cache


@pytest.mark.parametrize(
    ("names", "others"),
    [
        ([], False),
        (["web-default-abc-eth0"], False),
        (["web-x-eth0", "lost-x-eth0"], True),
        (["webby-x-eth0"], True),
    ],
)
def test_an_entry_of_an_unknown_network_is_noticed(
    names: list[str], others: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in names:
        (tmp_path / name).touch()
    monkeypatch.setattr(cache, "CACHE_DIR", str(tmp_path))
    assert cache.has_others({"web", "db"}) == others


def test_an_absent_cache_has_no_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CACHE_DIR", str(tmp_path / "absent"))
    assert not cache.has_others({"web"})
