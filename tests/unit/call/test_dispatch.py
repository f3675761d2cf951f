"""One path for every call: what is refused before a plugin is asked, and that nothing but JSON ever comes out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from linkspan.call.dispatch import Caller, answer
from linkspan.call.plugin import Plugin
from linkspan.call.transaction import Transaction
from linkspan.cni.errors import InvalidConfig, ToolMissing
from linkspan.cni.model import Address, Request, Result
from tests.harness import memory

ENV = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_NETNS": "/run/netns/a", "CNI_IFNAME": "eth0"}


class Desk:
    """A plugin that notes what it was asked, and a host that can do no more than lock, find no record, and say whether its state can
    be written.
    """

    def __init__(self, tmp_path: Path, *, chained: bool = False) -> None:
        schema = tmp_path / "schema.json"
        schema.write_text('{"properties": {"mtu": {"type": "integer"}}}')
        self.asked: list[str] = []
        self.logged: list[str] = []
        self.locked = False
        self.writable = True
        self.result = Result(ips=(Address(address="10.0.0.2/8"),))
        self.fails: BaseException | None = None
        self.plugin = Plugin(
            type="desk",
            schema=str(schema),
            add=self._add,
            delete=self._note,
            check=self._note,
            gc=self._note,
            status=self._note,
            chained=chained,
        )
        self.host: Any = SimpleNamespace(
            files=SimpleNamespace(
                lock_attachment=self._lock,
                can_write=lambda _: self.writable,
                read=lambda _: None,
                remove=lambda _: False,
                names=lambda _: (),
            ),
            state_dir="/run/state",
            warnings=[],
            same_netns=lambda netns: netns == "/proc/self/ns/net",
        )

    def call(
        self, env: dict[str, str] | None = None, is_connected: Any = lambda: True, **config: Any
    ) -> tuple[int, Any]:
        """(status, stdout as JSON or None if empty)."""
        document = {"cniVersion": "1.1.0", "name": "net", "type": "desk", **config}
        status, stdout = answer(
            self.plugin,
            json.dumps(document).encode(),
            {**ENV, **(env or {})},
            self.host,
            caller=Caller(is_connected, self.logged.append),
        )
        return status, json.loads(stdout) if stdout else None

    @contextmanager
    def _lock(self, *_: Any) -> Iterator[None]:
        self.locked = True
        try:
            yield
        finally:
            self.locked = False

    def _note(self, request: Request, _: Any) -> None:
        self.asked.append(request.verb)
        if self.fails:
            raise self.fails

    def _add(self, request: Request, host: Any, transaction: Transaction) -> Result:
        assert self.locked
        transaction.on_failure(self._undo)
        self._note(request, host)
        return self.result

    def _undo(self) -> None:
        assert self.locked
        self.asked.append("undo")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_add_answers_with_the_plugin_s_result(desk: Desk) -> None:
    assert desk.call() == (0, {"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.2/8"}]})


@pytest.mark.parametrize("verb", ["DEL", "GC", "STATUS"])
def test_other_verbs_answer_with_nothing(desk: Desk, verb: str) -> None:
    assert desk.call({"CNI_COMMAND": verb}) == (0, None)
    assert desk.asked == [verb]


def test_config_that_breaks_the_schema_is_told_with_its_path(desk: Desk) -> None:
    status, error = desk.call(mtu="x")
    assert (status, error["code"], error["cniVersion"]) == (1, 7, "1.1.0")
    assert error["msg"].startswith("$.mtu")
    assert desk.asked == []


def test_delete_forgives_a_config_that_breaks_the_schema(desk: Desk) -> None:
    assert desk.call({"CNI_COMMAND": "DEL"}, mtu="x") == (0, None)


def test_host_s_own_namespace_is_refused_before_anything_is_done(desk: Desk) -> None:
    status, error = desk.call({"CNI_NETNS": "/proc/self/ns/net"})
    assert (status, error["code"], desk.asked) == (1, 8, [])


@pytest.mark.parametrize("value", ["1", "true"])
def test_host_s_own_namespace_is_allowed_on_request(desk: Desk, value: str) -> None:
    assert desk.call({"CNI_NETNS": "/proc/self/ns/net", "CNI_NETNS_OVERRIDE": value})[0] == 0


def test_check_needs_a_previous_result(desk: Desk) -> None:
    assert desk.call({"CNI_COMMAND": "CHECK"})[1]["code"] == 7


def test_chained_plugin_refuses_to_be_first(tmp_path: Path) -> None:
    status, error = Desk(tmp_path, chained=True).call()
    assert (status, error["code"]) == (1, 7)
    assert "chained" in error["msg"]


def test_unforeseen_exception_becomes_an_error_object(desk: Desk) -> None:
    desk.fails = ZeroDivisionError("oops")
    status, error = desk.call()
    assert (status, error["code"]) == (1, 199)
    assert "ZeroDivisionError" in error["msg"]
    assert "Traceback" in desk.logged[0]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), SystemExit(1)])
def test_an_interrupted_add_is_undone_and_reported(desk: Desk, interruption: BaseException) -> None:
    desk.fails = interruption
    status, error = desk.call()
    assert (status, error["code"], desk.asked) == (1, 11, ["ADD", "undo"])


def test_plugin_s_own_error_keeps_its_code(desk: Desk) -> None:
    desk.fails = InvalidConfig("m", "d")
    assert desk.call()[1] == {"cniVersion": "1.1.0", "code": 7, "msg": "m", "details": "d"}


def test_status_is_not_ready_where_state_cannot_be_written(desk: Desk) -> None:
    desk.writable = False
    status, error = desk.call({"CNI_COMMAND": "STATUS"})
    assert (status, error["code"], desk.asked) == (1, 50, ["STATUS"])
    assert "/run/state" in error["msg"]


def test_status_is_not_ready_where_a_program_is_missing(desk: Desk) -> None:
    desk.fails = ToolMissing("no backend works", "install iptables")
    status, error = desk.call({"CNI_COMMAND": "STATUS"})
    assert (status, error["code"], error["msg"]) == (1, 50, "no backend works")


def test_caller_that_is_gone_is_not_served(desk: Desk) -> None:
    status, error = desk.call(is_connected=lambda: False)
    assert (status, error["code"], desk.asked) == (1, 11, [])


def test_caller_that_goes_away_during_add_has_it_undone(desk: Desk) -> None:
    status, _ = desk.call(is_connected=lambda: desk.asked == [])
    assert (status, desk.asked) == (1, ["ADD", "undo"])


def test_add_whose_result_the_version_cannot_say_is_undone(desk: Desk) -> None:
    desk.result = Result()
    status, error = desk.call(cniVersion="0.2.0")
    assert (status, error["code"], desk.asked) == (1, 1, ["ADD", "undo"])


SLIPS: dict[str, dict[str, Any]] = {
    "top": {"type": "bridge", "bridge": "br0", "isDefaultGatway": True},
    "ipam, of the IPAM plugin": {
        "type": "bridge",
        "bridge": "br0",
        "ipam": {"type": "host-local", "subnet": "10.5.0.0/24", "rangeStrat": "10.5.0.9"},
    },
    "ipam itself": {"type": "bridge", "bridge": "br0", "ipan": {"type": "host-local"}},
    "dns": {"type": "bridge", "bridge": "br0", "dns": {"nameserver": ["192.0.2.1"]}},
    "a list": {"type": "bridge", "bridge": "br0", "vlanTrunk": [{"minID": 1, "maxIDs": 2, "maxID": 2}]},
}


@pytest.mark.parametrize("verb", ["ADD", "CHECK", "DEL", "STATUS", "GC"])
@pytest.mark.parametrize("place", SLIPS)
def test_a_slip_is_told_by_add_alone_wherever_it_is(place: str, verb: str) -> None:
    """The other verbs read the same list again."""
    desk = memory.Desk()
    config = SLIPS[place]
    assert desk.call("ADD", config).status == 0
    assert len([each for each in desk.host.warnings if "did you mean" in each]) == 1
    desk.host.warnings.clear()
    if verb != "ADD":
        desk.call(verb, config)
        assert not [each for each in desk.host.warnings if "did you mean" in each]
