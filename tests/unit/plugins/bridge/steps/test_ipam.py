"""The IPAM plugin as a delegate."""

from __future__ import annotations

import errno

from linkspan.host.memory import MemoryHost
from tests.harness.bridge import PLAIN, own_objects
from tests.harness.memory import Desk, SpyIpam


def test_an_error_of_ipam_is_passed_on_unchanged(desk: Desk) -> None:
    spy = SpyIpam()
    spy.fails = {"ADD"}
    desk.program("spy", spy)
    answer = desk.call("ADD", {**PLAIN, "ipam": {"type": "spy"}})
    assert {key: answer.document[key] for key in ("code", "msg", "details")} == {
        "code": 123,
        "msg": "spy fails ADD",
        "details": "on purpose",
    }


def test_the_first_error_is_reported_with_ipam_s_in_its_details() -> None:
    spy = SpyIpam()
    spy.fails = {"DEL"}
    desk = Desk(MemoryHost(refuse={"links.create_veth": errno.ENOMEM}))
    desk.program("spy", spy)
    answer = desk.call("ADD", {**PLAIN, "ipam": {"type": "spy"}})
    assert answer.code == 101
    assert "spy fails DEL" in answer.document["details"]


def test_an_ipam_that_returns_no_address_is_called_with_del(desk: Desk) -> None:
    spy = SpyIpam()
    desk.program("spy", spy)
    spy.addresses = ()
    answer = desk.call("ADD", {**PLAIN, "ipam": {"type": "spy"}})
    assert (answer.code, spy.verbs, own_objects(desk)) == (7, ["ADD", "DEL"], [])
