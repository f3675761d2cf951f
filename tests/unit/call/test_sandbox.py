"""Which namespace an attachment leads into, as records have it."""

from __future__ import annotations

from typing import Any

import pytest

from linkspan.call.sandbox import Sandbox
from linkspan.host.contract import Netns
from tests.harness.bridge import ONE, PLAIN, VETH, links
from tests.harness.memory import BOX, Desk

SANDBOX = Sandbox(Netns(4026532000, 7), BOX, "boot 1")


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    assert desk.call("ADD", PLAIN).status == 0
    return desk


def test_it_is_read_back_as_it_was_written() -> None:
    assert Sandbox.from_json(SANDBOX.to_json()) == SANDBOX


@pytest.mark.parametrize("document", [None, "x", [], {}, {**SANDBOX.to_json(), "cookie": "7"}])
def test_anything_else_is_none(document: Any) -> None:
    assert Sandbox.from_json(document) is None


def test_an_attachment_is_recorded_with_the_namespace_at_cni_netns(desk: Desk) -> None:
    assert Sandbox.of_attachment(desk.host, ONE) == Sandbox.of(desk.host, BOX)


def test_it_is_alive_while_somebody_holds_it(desk: Desk) -> None:
    sandbox = Sandbox.of(desk.host, BOX)
    assert sandbox.is_alive(desk.host, ONE)
    desk.host.abandon_netns(BOX)
    assert links(desk).get(VETH) is not None
    assert not sandbox.is_alive(desk.host, ONE)


def test_it_is_dead_without_the_attachments_link_and_nobody_is_looked_for(desk: Desk) -> None:
    sandbox = Sandbox.of(desk.host, BOX)
    links(desk).delete(VETH)
    desk.host.revive()
    assert not sandbox.is_alive(desk.host, ONE)
    assert "namespaces.is_held" not in [request for request, _ in desk.host.requests]


def test_it_is_dead_in_another_boot(desk: Desk) -> None:
    sandbox = Sandbox.of(desk.host, BOX)
    desk.host.boot = "second-boot 1"
    assert not sandbox.is_alive(desk.host, ONE)
