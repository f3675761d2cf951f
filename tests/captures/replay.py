"""Calls that real runtimes made of the reference plugins, made again of ours.

A file `<runtime>.jsonl` holds the calls of one runtime in the order in which it made them. A line is either a result that has a name,
or a call: its `env` and `stdin` as recorded, and the `exit`, `answer` and `stderr` of the reference. Where `prevResult` or `answer` is a
text, it is the name of a result. `before` are files to write first, so that the pool stands where it stood.

What is ours to choose (MAC addresses, names of veths) and what a machine chooses (process ids) has another name here: `Replay` learns them
from our answers, and puts them into the calls that follow and into the recorded answers.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from linkspan import __version__
from tests.harness import ours
from tests.harness.privatehost import PrivateHost

JsonObject = dict[str, Any]
RUNTIMES = ("cnitool", "cri", "cri2", "ctr", "nerdctl", "podman")
_FOLDER = os.path.dirname(os.path.abspath(__file__))


@dataclass(frozen=True)
class Answer:
    """What a plugin gave; `stdout` is parsed, {} when it said nothing."""

    status: int
    stdout: JsonObject
    stderr: str


@dataclass(frozen=True)
class Call:
    """One execution of a plugin and what the reference answered; `name` is for example `ctr default 3 ADD portmap`."""

    name: str
    plugin: str
    env: Mapping[str, str]
    stdin: JsonObject
    before: Mapping[str, str]
    answer: Answer


def calls(runtime: str) -> list[Call]:
    """The calls of a runtime, in its order."""
    with open(f"{_FOLDER}/{runtime}.jsonl", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    results = {record["name"]: record["result"] for record in records if "result" in record}
    return [_call(runtime, record, results) for record in records if "plugin" in record]


def _call(runtime: str, record: JsonObject, results: Mapping[str, JsonObject]) -> Call:
    verb = record["env"].get("CNI_COMMAND", "-")
    stdin, answer = dict(record.get("stdin", {})), record.get("answer", {})
    if "prevResult" in stdin:
        stdin["prevResult"] = results[stdin["prevResult"]]
    stdout = results[answer] if isinstance(answer, str) else answer
    return Call(
        name=f"{runtime} {record['scenario']} {record['order']} {verb} {record['plugin']}",
        plugin=record["plugin"],
        env=record["env"],
        stdin=stdin,
        before=record.get("before", {}),
        answer=Answer(record["exit"], stdout, record.get("stderr", "")),
    )


def lanes(made: Sequence[Call]) -> tuple[list[Call], list[Call]]:
    """The calls of the runtime, and those that its bridge made of host-local: ours makes them itself, so they are replayed apart."""
    chain = [call for call in made if call.plugin != "host-local"]
    return chain, [call for call in made if call.plugin == "host-local"]


def differences(theirs: Any, here: Any, at: str = "") -> list[str]:
    """Where two answers differ in meaning, as `path: theirs -> ours`; an empty value and an absent one mean the same."""
    if isinstance(theirs, dict) and isinstance(here, dict):
        keys = sorted({*theirs, *here})
        parts = [differences(theirs.get(key), here.get(key), f"{at}.{key}".lstrip(".")) for key in keys]
        return [line for part in parts for line in part]
    if isinstance(theirs, list) and isinstance(here, list) and len(theirs) == len(here):
        pairs = enumerate(zip(theirs, here, strict=True))
        return [line for n, (one, other) in pairs for line in differences(one, other, f"{at}[{n}]")]
    if theirs == here or (_is_empty(theirs) and _is_empty(here)):
        return []
    return [f"{at}: {_shown(theirs)} -> {_shown(here)}"]


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [], {})


def _shown(value: Any) -> str:
    return "nothing" if _is_empty(value) else json.dumps(value)


@dataclass
class Replay:
    """Replays the calls of one lane in a private host that has our executables and a resident."""

    host: PrivateHost
    _names: dict[str, str] = field(default_factory=dict)
    _living: dict[str, _Container] = field(default_factory=dict)

    def compare(self, call: Call) -> list[str]:
        """Make a call; where our answer differs from the reference's, see `differences`."""
        self._provide(call)
        answer = self._made(call)
        self._learn(call, answer)
        theirs = self._here(call.answer.stdout)
        return [
            *differences(call.answer.status, answer.status, "exit"),
            *differences(theirs, answer.stdout),
            *differences(call.answer.stderr, answer.stderr, "stderr"),
        ]

    def end(self) -> None:
        """Stop the containers and forget all leases."""
        for container in self._living.values():
            container.stop()
        self.host.run(["rm", "-rf", "/var/lib/cni/networks"])
        self._forget_releases()

    def _forget_releases(self) -> None:
        """Addresses that were given back are given out again last; the recorded answers know nothing of that."""
        self.host.run(["sh", "-c", "rm -rf /run/linkspan/*/released"])

    def _provide(self, call: Call) -> None:
        """The files a call finds, and the network namespace of its container: it is gone when the runtime names none any more."""
        if call.before:
            self._forget_releases()
        for path, content in call.before.items():
            self.host.write(path, content)
        container_id, netns = call.env.get("CNI_CONTAINERID", ""), call.env.get("CNI_NETNS", "")
        if container_id and not netns and container_id in self._living:
            self._living.pop(container_id).stop()
        elif container_id and netns and container_id not in self._living:
            self._living[container_id] = container = _started(self.host, netns)
            self._names[netns] = container.netns

    def _made(self, call: Call) -> Answer:
        env = {**ours.RESIDENT, "CNI_PATH": ours.BIN, **self._here(dict(call.env))}
        stdin = json.dumps(self._here(call.stdin)) if call.stdin else ""
        done = self.host.run([f"{ours.BIN}/{call.plugin}"], env=env, input=stdin, check=False)
        stderr = done.stderr.replace(f"linkspan {__version__}", "linkspan VERSION")
        return Answer(done.returncode, json.loads(done.stdout) if done.stdout.strip() else {}, stderr)

    def _here(self, recorded: JsonObject) -> JsonObject:
        """What was recorded, with the names that things have here."""
        text = json.dumps(recorded)
        for theirs, here in self._names.items():
            text = text.replace(theirs, here)
        parsed: JsonObject = json.loads(text)
        return parsed

    def _learn(self, call: Call, answer: Answer) -> None:
        if call.plugin != "bridge":
            return
        asked = json.dumps([dict(call.env), call.stdin])
        pairs = zip(
            call.answer.stdout.get("interfaces", ()), answer.stdout.get("interfaces", ()), strict=False
        )
        for theirs, here in pairs:
            if theirs["mac"] not in asked:
                self._names[theirs["mac"]] = here["mac"]
            if theirs["name"].startswith("veth"):
                self._names[theirs["name"]] = here["name"]


@dataclass(frozen=True)
class _Container:
    """A network namespace; the process in it, where the runtime names it by one."""

    host: PrivateHost
    netns: str
    process: subprocess.Popen[str] | None = None

    def stop(self) -> None:
        if self.process is None:
            self.host.del_netns(os.path.basename(self.netns))
        else:
            self.process.kill()
            self.process.wait()


def _started(host: PrivateHost, netns: str) -> _Container:
    """A container whose namespace has the recorded path, or that of another process where the path is a process's."""
    if not netns.startswith("/proc/"):
        host.add_netns(os.path.basename(netns))
        return _Container(host, netns)
    process = host.popen(["unshare", "--net", "sleep", "infinity"])
    outside = os.readlink(f"/proc/{host.pid}/ns/net")
    deadline = time.monotonic() + 10
    while _netns_of(process.pid) in ("", outside, _netns_of(os.getpid())):
        assert time.monotonic() < deadline, "unshare made no namespace"
        time.sleep(0.002)
    return _Container(host, f"/proc/{process.pid}/ns/net", process)


def _netns_of(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


def documented() -> list[tuple[str, str]]:
    """The rows of differences.md: a pattern of names of calls, and one difference that each of them has."""
    with open(f"{_FOLDER}/differences.md", encoding="utf-8") as file:
        rows = [line.split("|") for line in file if line.startswith("| `")]
    return [(pattern.strip(" `"), difference.strip(" `")) for _, pattern, difference, _why, _ in rows]
