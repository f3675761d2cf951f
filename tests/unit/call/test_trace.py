"""A traced call is made again to the same bytes, and holds nothing that no plugin reads."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from linkspan.call.plugin import load
from linkspan.call.trace import mask, switch
from linkspan.call.trace.codec import decoded, encoded
from linkspan.call.trace.record import Recorder
from linkspan.call.trace.replay import Diverged, NotATrace, read, replay
from linkspan.cni.errors import KernelRefused
from linkspan.cni.schema import load as load_schema
from linkspan.host.memory import MemoryHost
from linkspan.netfilter.rules import Change, Element, Match, Rule
from tests.harness.memory import Desk, SpyIpam
from tests.unit.call.test_every_request import SCENARIOS, Scenario

TRACED = {name: each for name, each in SCENARIOS.items() if name != "dns"}


def traced(
    folder: Path, scenario: Scenario, verb: str, host: MemoryHost | None = None, **env: str
) -> dict[str, Any]:
    """The trace of one call of a scenario."""
    desk = scenario.desk()
    if verb not in ("ADD", "STATUS"):
        assert scenario.call(desk, "ADD").status == 0
    desk.host.revive()
    if host is not None:
        desk.host.refuse = host.refuse
    scenario.call(desk, verb, {switch.VARIABLE: str(folder), **env})
    (path,) = folder.iterdir()
    return read(str(path))


@pytest.mark.parametrize("verb", ["ADD", "CHECK", "DEL", "GC", "STATUS"])
@pytest.mark.parametrize("name", TRACED)
def test_a_replay_answers_to_the_same_bytes(tmp_path: Path, name: str, verb: str) -> None:
    trace = traced(tmp_path, TRACED[name], verb)
    status, stdout = replay(trace)
    assert (status, stdout.decode()) == (trace["answer"]["status"], trace["answer"]["stdout"])
    assert status == 0


def test_a_refusal_is_replayed_with_the_error_it_led_to(tmp_path: Path) -> None:
    refusing = MemoryHost(refuse={("links.create_veth", 1): errno.ENOMEM})
    trace = traced(tmp_path, SCENARIOS["bridge, nftables"], "ADD", refusing)
    assert (trace["answer"]["status"], json.loads(trace["answer"]["stdout"])["code"]) == (1, 101)
    assert replay(trace) == (1, trace["answer"]["stdout"].encode())


def test_an_internal_fault_keeps_its_traceback(tmp_path: Path) -> None:
    refusing = MemoryHost(refuse={("links.create_veth", 1): ZeroDivisionError()})
    trace = traced(tmp_path, SCENARIOS["bridge, nftables"], "ADD", refusing)
    assert "ZeroDivisionError" in trace["traceback"]


def test_a_trace_has_the_plan_and_the_time_of_each_request(tmp_path: Path) -> None:
    trace = traced(tmp_path, SCENARIOS["bridge, nftables"], "ADD")
    assert "EnsureBridge" in [next(iter(step)) for step in trace["plan"]]
    assert all(each["milliseconds"] >= 0 for each in trace["requests"])


def test_a_call_that_asks_for_something_else_is_not_taken_for_the_same(tmp_path: Path) -> None:
    trace = traced(tmp_path, SCENARIOS["bridge, nftables"], "ADD")
    trace["request"]["environment"]["CNI_IFNAME"] = "eth9"
    with pytest.raises(Diverged, match="eth9"):
        replay(trace)


def test_a_call_that_ends_early_is_not_taken_for_the_same(tmp_path: Path) -> None:
    trace = traced(tmp_path, SCENARIOS["loopback"], "ADD")
    trace["requests"].append({"request": "warn", "arguments": {"0": "more"}})
    with pytest.raises(Diverged, match="ends"):
        replay(trace)


def test_variables_and_keys_that_no_plugin_reads_are_masked(tmp_path: Path) -> None:
    scenario = Scenario(
        {"type": "loopback", "password": "s3cret-word", "runtimeConfig": {"token": "s3cret-word"}}
    )
    trace = traced(tmp_path, scenario, "ADD", SECRET="s3cret-word", CNI_ARGS="IP=10.0.0.9;TOKEN=s3cret-word")
    assert "s3cret-word" not in json.dumps(trace)
    assert trace["request"]["environment"]["CNI_ARGS"] == f"IP=10.0.0.9;TOKEN={mask.MASKED}"


def test_what_a_foreign_plugin_is_given_is_masked_too(tmp_path: Path) -> None:
    desk = Desk()
    desk.program("spy", SpyIpam())
    config = {"type": "bridge", "bridge": "br0", "ipam": {"type": "spy", "password": "s3cret-word"}}
    env = {switch.VARIABLE: str(tmp_path), "SECRET": "s3cret-word"}
    assert desk.call("ADD", config, env=env).status == 0
    (path,) = tmp_path.iterdir()
    trace = read(str(path))
    assert "s3cret-word" not in path.read_text()
    assert replay(trace) == (0, trace["answer"]["stdout"].encode())


def test_a_short_word_of_the_environment_does_not_damage_what_is_read(tmp_path: Path) -> None:
    trace = traced(tmp_path, SCENARIOS["firewall, iptables"], "DEL", CI="true", LANG="C.UTF-8", YES="yes")
    assert replay(trace) == (0, b"")


def test_of_a_container_s_bundle_only_names_are_kept() -> None:
    content = json.dumps(
        {"process": {"env": ["PASSWORD=x"]}, "hostname": "h", "annotations": {"nerdctl/name": "n"}}
    )
    assert json.loads(mask.file("/run/containerd/b/config.json", content.encode())) == {
        "hostname": "h",
        "annotations": {"nerdctl/name": "n"},
    }


def test_masking_twice_changes_nothing_more() -> None:
    schemas = [load_schema(load("bridge").schema), load_schema(load("host-local").schema)]
    document = {
        "name": "n",
        "x": {"y": "long enough"},
        "ipam": {"type": "host-local", "subnet": "10.0.0.0/8", "odd": "long enough"},
    }
    once = mask.Mask(json.dumps(document).encode(), {}, schemas).stdin
    assert mask.Mask(once, {}, schemas).stdin == once
    assert json.loads(once)["ipam"] == {"type": "host-local", "subnet": "10.0.0.0/8", "odd": mask.MASKED}


def test_the_administrator_s_switch_traces_every_call(tmp_path: Path) -> None:
    desk = Desk()
    desk.host.files.write(switch.path(desk.host.state_dir), str(tmp_path).encode())
    assert desk.call("ADD", {"type": "loopback"}).status == 0
    assert len(list(tmp_path.iterdir())) == 1


def test_without_a_switch_nothing_is_written(tmp_path: Path) -> None:
    host = MemoryHost()
    assert switch.folder_for({}, host) == ""


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    desk = Desk()
    answer = desk.call("ADD", {"type": "loopback"}, env={switch.VARIABLE: str(tmp_path / "file")})
    assert answer.status == 0
    assert "not traced" in desk.host.warnings[0]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"trace": 99}'])
def test_another_file_is_not_taken_for_a_trace(tmp_path: Path, content: str) -> None:
    (tmp_path / "x").write_text(content)
    with pytest.raises(NotATrace):
        read(str(tmp_path / "x"))


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"text",
        b"\xff",
        ("a", 1),
        {"k": (1,)},
        Element(name="s", key=("a", "b"), comment="c"),
        Change(own=(("C", (Rule(target="X", matches=(Match("m", (("o", ""),)),)),)),)),
    ],
    ids=repr,
)
def test_a_value_comes_back_from_json_as_it_was(value: object) -> None:
    assert decoded(json.loads(json.dumps(encoded(value)))) == value


def test_an_error_comes_back_with_what_a_plugin_looks_at() -> None:
    from linkspan.call.trace.codec import decoded_error, encoded_error

    back = decoded_error(json.loads(json.dumps(encoded_error(KernelRefused("add", errno.EEXIST, "d")))))
    assert isinstance(back, KernelRefused)
    assert (back.errno, back.msg, back.details) == (
        errno.EEXIST,
        "the kernel refused to add: File exists",
        "d",
    )


@pytest.mark.parametrize("content", [b"7", b'"annotations"', b"null", b"[]"])
def test_a_bundle_that_is_no_object_stops_no_call(content: bytes) -> None:
    assert mask.file("/run/containerd/b/config.json", content) == content


@pytest.mark.parametrize("method", ["__init__", "write"])
def test_a_call_that_cannot_be_traced_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("odd input")

    monkeypatch.setattr(Recorder, method, fail)
    desk = Desk()
    answer = desk.call("ADD", {"type": "loopback"}, ifname="lo", env={switch.VARIABLE: str(tmp_path)})
    assert answer.status == 0
    assert "the call is not traced" in desk.host.warnings[0]
