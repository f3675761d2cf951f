"""Restoring parts: looked at first, made if incomplete, whatever fails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from linkspan.call.records import Records
from linkspan.call.restoring import EVERYTHING, LookedAt, MadeOf, Part, Scope, restore_each, restored
from linkspan.cni.errors import IoFailure
from linkspan.cni.model import Attachment
from linkspan.host.contract import Host
from linkspan.host.memory import MemoryHost

ONE, TWO, OTHER = (
    Attachment(network, each, "eth0") for network, each in (("net", "c1"), ("net", "c2"), ("other", "c3"))
)


class Thing:
    """Something that is there or not."""

    def __init__(self, *, there: bool = False, makable: bool = True) -> None:
        self.there, self.makable, self.made = there, makable, 0

    def missing(self, host: Host) -> list[str]:
        return [] if self.there else ["it is gone"]

    def do(self, host: Host) -> None:
        self.made += 1
        self.there = self.makable


@pytest.fixture
def host() -> MemoryHost:
    made = MemoryHost()
    for each in (ONE, TWO, OTHER):
        Records(made, "portmap").write(each, {"of": each.container_id})
    return made


def of(host: MemoryHost, *parts: Part | LookedAt) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """(missing, noticed, what the error says)."""
    found = restored(host, "portmap", ONE, lambda: parts)
    return found.missing, found.noticed, found.error.msg if found.error else ""


def test_what_is_complete_is_left_alone(host: MemoryHost) -> None:
    thing = Thing(there=True)
    assert of(host, thing) == ((), (), "")
    assert thing.made == 0


def test_what_is_incomplete_is_made(host: MemoryHost) -> None:
    thing = Thing()
    assert of(host, thing) == (("it is gone",), (), "")
    assert thing.made == 1


def test_what_is_still_missing_then_is_an_error(host: MemoryHost) -> None:
    assert of(host, Thing(makable=False)) == (("it is gone",), (), "it is gone")


def test_what_is_only_looked_at_is_not_made(host: MemoryHost) -> None:
    thing = Thing()
    assert of(host, LookedAt(thing)) == ((), ("it is gone",), "")
    assert thing.made == 0


@pytest.mark.parametrize("error", [IoFailure("no"), RuntimeError("no")])
def test_a_part_that_fails_does_not_stop_the_others(host: MemoryHost, error: Exception) -> None:
    def fail(_: Host) -> list[str]:
        raise error

    thing = Thing()
    assert of(host, MadeOf(fail, lambda _: None), thing)[2] != ""
    assert thing.made == 1


def test_the_attachments_of_the_scope_are_restored_in_their_locks(host: MemoryHost) -> None:
    seen: list[str] = []

    def parts(attachment: Attachment, record: Mapping[str, Any]) -> Iterable[Part]:
        assert attachment.container_id == record["of"]
        assert host.files.held != set()
        seen.append(attachment.container_id)
        return ()

    assert len(list(restore_each(host, "portmap", EVERYTHING, parts))) == 3
    assert sorted(seen) == ["c1", "c2", "c3"]
    seen.clear()
    list(restore_each(host, "portmap", Scope(network="other"), parts))
    assert seen == ["c3"]


@pytest.mark.parametrize("error", [IoFailure("no"), RuntimeError("no")])
def test_a_record_that_cannot_be_restored_does_not_stop_the_others(
    host: MemoryHost, error: Exception
) -> None:
    def parts(attachment: Attachment, _: Mapping[str, Any]) -> Iterable[Part]:
        raise error

    found = list(restore_each(host, "portmap", EVERYTHING, parts))
    assert [each.error is not None for each in found] == [True] * 3
