"""Whatever request of the host is refused or killed at, portmap leaves nothing that DEL does not find."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from linkspan.host.memory import Killed, Request
from tests.harness.portmap import BACKENDS, PortmapDesk

#: A backend, and how 127.0.0.1 reaches the container.
Way = tuple[str, str]
WAYS: list[Way] = [(backend, localhost) for backend in BACKENDS for localhost in ("", "relay")]


def desk_of(way: Way) -> PortmapDesk:
    backend, localhost = way
    return PortmapDesk(backend, localhost=localhost)


def requests_of(way: Way, verb: str) -> list[Request]:
    """Every request that a verb makes of the host."""
    desk = desk_of(way)
    if verb != "ADD":
        desk.call("ADD")
        desk.host.revive()
    desk.call(verb)
    return list(desk.host.requests)


def sweep(verb: str) -> list[Any]:
    return [
        pytest.param(way, each, id=f"{way[0]}{way[1]}-{each[0]}-{each[1]}")
        for way in WAYS
        for each in requests_of(way, verb)
    ]


@pytest.mark.parametrize(("way", "refused"), sweep("ADD"))
def test_add_leaves_nothing_of_its_own_when_any_request_is_refused(way: Way, refused: Request) -> None:
    desk = desk_of(way)
    before = desk.own()
    desk.host.refuse = {refused: errno.ENOMEM}
    answer = desk.call("ADD")
    assert answer.code != 199, answer.document
    desk.host.revive()
    if answer.status == 0:  # a request that ADD can do without
        assert desk.call("DEL").status == 0
    assert desk.own() == before


@pytest.mark.parametrize(("way", "moment"), sweep("ADD"))
def test_del_finds_everything_when_add_was_killed_anywhere(way: Way, moment: Request) -> None:
    desk = desk_of(way)
    before = desk.own()
    desk.host.dies_at = moment
    with pytest.raises(Killed):
        desk.call("ADD")
    desk.host.revive()
    assert desk.call("DEL", ports=[]).status == 0
    assert desk.own() == before


@pytest.mark.parametrize(("way", "refused"), sweep("DEL"))
def test_del_that_was_refused_anything_can_be_repeated(way: Way, refused: Request) -> None:
    desk = desk_of(way)
    before = desk.own()
    desk.call("ADD")
    desk.host.revive()
    desk.host.refuse = {refused: errno.ENOMEM}
    assert desk.call("DEL").code != 199
    desk.host.revive()
    assert desk.call("DEL").status == 0
    assert desk.own() == before
