"""Asking another plugin: ours in this process, others as programs, and their errors word for word."""

from __future__ import annotations

import json
from typing import Any

import pytest

from linkspan.call.delegate import delegate
from linkspan.cni.errors import CniError, DelegateFailed, InvalidConfig, ToolMissing, UndecodableInput
from linkspan.cni.model import Request
from linkspan.host.contract import Finished
from linkspan.host.memory import MemoryHost
from linkspan.host.memory.processes import Run
from tests.harness.memory import BOX, FOREIGN, OURS, Desk

CONFIG = {
    "cniVersion": "1.0.0",
    "name": "net",
    "type": "bridge",
    "ipam": {"type": "spy", "subnet": "10.5.0.0/24"},
}


def request(verb: str = "ADD", config: dict[str, Any] | None = None) -> Request:
    document = config or CONFIG
    return Request(
        verb=verb,
        plugin="bridge",
        cni_version="1.0.0",
        network="net",
        config=document,
        container_id="c1",
        ifname="eth0",
        netns=BOX,
        path=(OURS, FOREIGN),
        stdin=json.dumps(document).encode(),
        env={"CNI_COMMAND": verb, "CNI_CONTAINERID": "c1", "MINE": "yes"},
        cwd="/somewhere",
    )


def answering(status: int, stdout: bytes) -> MemoryHost:
    host = MemoryHost()
    host.processes.programs[f"{FOREIGN}/spy"] = lambda run: Finished(status, stdout)
    return host


def test_a_foreign_plugin_gets_what_we_got_and_is_kept_from_the_resident() -> None:
    host = answering(0, b'{"cniVersion": "1.0.0", "ips": [{"address": "10.5.0.2/24"}]}')
    asked = request()
    result = delegate("spy", asked, host)
    (run,) = host.processes.ran
    assert (run.argv, run.stdin, run.cwd) == ((f"{FOREIGN}/spy",), asked.stdin, "/somewhere")
    assert run.env == {**asked.env, "LINKSPAN_STANDALONE": "alone"}
    assert result is not None
    assert result.ips[0].address == "10.5.0.2/24"


def test_it_can_be_asked_as_another_verb() -> None:
    host = answering(0, b"")
    assert delegate("spy", request(), host, verb="DEL") is None
    assert host.processes.ran[0].env["CNI_COMMAND"] == "DEL"


def test_ours_is_called_in_this_process() -> None:
    desk = Desk()
    config = {**CONFIG, "ipam": {"type": "host-local", "subnet": "10.5.0.0/24"}}
    result = delegate("host-local", request(config=config), desk.host)
    assert result is not None
    assert (result.ips[0].address, desk.host.processes.ran) == ("10.5.0.2/24", [])


@pytest.mark.parametrize("verb", ["ADD", "CHECK", "STATUS"])
def test_a_plugin_that_delegates_to_itself_is_refused(verb: str) -> None:
    host = MemoryHost()
    host.processes.own[f"{FOREIGN}/bridge"] = "bridge"
    with pytest.raises(InvalidConfig, match=r"\$\.ipam\.type: 'bridge'"):
        delegate("bridge", request(), host, verb=verb)


@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_a_plugin_that_delegates_to_itself_has_nothing_to_remove(verb: str) -> None:
    host = MemoryHost()
    host.processes.own[f"{FOREIGN}/bridge"] = "bridge"
    assert delegate("bridge", request(), host, verb=verb) is None


def test_its_error_is_passed_on_word_for_word() -> None:
    host = answering(1, b'{"code": 11, "msg": "m", "details": "d"}')
    with pytest.raises(DelegateFailed) as caught:
        delegate("spy", request(), host)
    assert (caught.value.code, caught.value.msg, caught.value.details) == (11, "m", "d")


@pytest.mark.parametrize(
    "stdout",
    [
        b"",
        b"oops",
        b"[]",
        b'{"code": "x", "msg": "m"}',
        b"\xff",
        b"[" * 100_000,
        b'{"code": Infinity, "msg": "m"}',
        b'{"code": 0, "msg": "m"}',
        b'{"code": -1, "msg": "m"}',
        b'{"code": 4294967296, "msg": "m"}',
    ],
    ids=lambda it: str(it[:20]),
)
def test_a_failure_without_an_error_object_is_told_with_its_status(stdout: bytes) -> None:
    with pytest.raises(UndecodableInput, match="failed with status 3"):
        delegate("spy", request(), answering(3, stdout))


@pytest.mark.parametrize("stdout", [b"", b"oops", b"[]", b'{"ips": [{"address": 7}]}'])
def test_an_add_that_answers_no_result_is_told(stdout: bytes) -> None:
    with pytest.raises(UndecodableInput, match="returned an invalid result for ADD"):
        delegate("spy", request(), answering(0, stdout))


@pytest.mark.parametrize(
    ("cni_type", "kind"), [("nobody", ToolMissing), ("../spy", InvalidConfig), ("..", InvalidConfig)]
)
def test_a_type_that_is_nowhere_or_a_path_is_told(cni_type: str, kind: type[CniError]) -> None:
    with pytest.raises(kind):
        delegate(cni_type, request(), MemoryHost())


def test_a_program_that_went_away_is_a_missing_tool() -> None:
    host = MemoryHost()

    def vanish(run: Run) -> Finished:
        raise ToolMissing(f"{run.argv[0]} is not installed on this host")

    host.processes.programs[f"{FOREIGN}/spy"] = vanish
    with pytest.raises(ToolMissing):
        delegate("spy", request(), host)
