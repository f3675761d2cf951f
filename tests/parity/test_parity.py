"""Through a resident or without: the same status, the same bytes on stdout and stderr, and the same host afterwards.

One script of calls, good and bad, runs in two private hosts that are alike; each call and what it leaves is compared.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.harness import ours
from tests.harness.privatehost import PrivateHost
from tests.harness.snapshot import Snapshot

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

NETNS = "/run/netns/box"
HOST_LOCAL = {"type": "host-local", "ranges": [[{"subnet": "10.5.0.0/24"}], [{"subnet": "fd00:5::/64"}]]}
BRIDGE: dict[str, Any] = {
    "type": "bridge",
    "bridge": "br0",
    "isDefaultGateway": True,
    "ipMasq": True,
    "ipMasqBackend": "nftables",
    "ipam": HOST_LOCAL,
}
IPTABLES = {**BRIDGE, "ipMasqBackend": "iptables"}
PORTS = {"portMappings": [{"hostPort": 8081, "containerPort": 80, "protocol": "tcp"}]}
PORTMAP = {"type": "portmap", "backend": "nftables", "runtimeConfig": PORTS}
TUNING = {"type": "tuning", "mtu": 1400, "promisc": True, "sysctl": {"net.core.somaxconn": "500"}}
ALL_VALID = {"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]}
NOTHING_VALID: dict[str, Any] = {"cni.dev/valid-attachments": []}
#: A resident has its folder before the first call.
IGNORED = (*ours.STAYS, "/run/linkspan/ 0700", "/run/linkspan/[0-9]*/ 0700")
#: In a configuration: what the last ADD answered.
PREVIOUS = {"prevResult": "the last ADD's"}


@dataclass(frozen=True)
class Step:
    """One call. `config` is a document, or text to send as it is; `env` replaces variables, "" leaves one out."""

    name: str
    verb: str
    config: Mapping[str, Any] | str
    env: Mapping[str, str] = field(default_factory=dict)
    plugin: str = ""
    cwd: str = "/"

    @property
    def executable(self) -> str:
        """The program that is called."""
        return self.plugin or (str(self.config["type"]) if isinstance(self.config, Mapping) else "bridge")


def chain(name: str, bridge: dict[str, Any], *more: dict[str, Any]) -> list[Step]:
    """ADD, CHECK, DEL and DEL again of several plugins."""
    configs = [bridge, *({**each, **PREVIOUS} for each in more)]
    checks = [{**each, **PREVIOUS} for each in configs]
    return [
        *(Step(f"{name}: {each['type']} ADD", "ADD", each) for each in configs),
        Step(f"{name}: {bridge['type']} ADD again", "ADD", bridge),
        *(Step(f"{name}: {each['type']} CHECK", "CHECK", each) for each in checks),
        *(Step(f"{name}: {each['type']} GC all valid", "GC", {**each, **ALL_VALID}) for each in configs),
        *(Step(f"{name}: {each['type']} DEL", "DEL", each) for each in reversed(checks)),
        *(Step(f"{name}: {each['type']} DEL again", "DEL", each) for each in reversed(configs)),
        *(Step(f"{name}: {each['type']} CHECK of nothing", "CHECK", each) for each in checks),
        *(Step(f"{name}: {each['type']} STATUS", "STATUS", each) for each in configs),
    ]


def versions(plugin: str) -> list[Step]:
    said = ["", "{}", '{"cniVersion": "0.4.0"}', '{"cniVersion": "9.9"}', "no json", '{"cniVersion": 7}']
    return [Step(f"VERSION of {plugin} asked {each!r}", "VERSION", each, plugin=plugin) for each in said]


def bad_input() -> list[Step]:
    documents = {
        "no stdin": "",
        "no json": "{",
        "a list": "[]",
        "deep": "[" * 100_000,
        "no name": '{"cniVersion": "1.0.0", "type": "bridge"}',
        "unknown version": '{"cniVersion": "2.0.0", "name": "net", "type": "bridge"}',
        "not utf-8": '{"cniVersion": "1.0.0", "name": "n\udcff", "type": "bridge"}',
    }
    environments = {
        "an unknown verb": {"CNI_COMMAND": "NONE"},
        "no container id": {"CNI_CONTAINERID": ""},
        "a bad container id": {"CNI_CONTAINERID": "a/b"},
        "a bad ifname": {"CNI_IFNAME": "much-too-long-for-it"},
        "no netns": {"CNI_NETNS": ""},
        "a netns that is gone": {"CNI_NETNS": "/run/netns/none"},
        "a netns that is a file": {"CNI_NETNS": "/etc/hostname"},
        "our own netns": {"CNI_NETNS": "/proc/self/ns/net"},
        "bad args": {"CNI_ARGS": "IP"},
        "a bad IP in args": {"CNI_ARGS": "IP=x"},
        "bytes in args": {"CNI_ARGS": "X=\udcff"},
        "no path": {"CNI_PATH": ""},
    }
    configs: dict[str, dict[str, Any]] = {
        "a bad mtu": {"mtu": "x"},
        "a contradiction": {"hairpinMode": True, "promiscMode": True},
        "an unknown ipam": {"ipam": {"type": "none"}},
        "a bad range": {"ipam": {"type": "host-local", "subnet": "10.5.0.1/24"}},
        "a bad prevResult": {"prevResult": {"cniVersion": "1.0.0", "ips": [{"address": 7}]}},
    }
    return [
        *(
            Step(f"{verb} with {name}", verb, each)
            for name, each in documents.items()
            for verb in ("ADD", "DEL", "GC")
        ),
        *(
            Step(f"{verb} with {name}", verb, BRIDGE, {"CNI_COMMAND": verb, **each})
            for name, each in environments.items()
            for verb in ("ADD", "CHECK", "DEL")
        ),
        *(
            Step(f"{verb} with {name}", verb, {**BRIDGE, **each})
            for name, each in configs.items()
            for verb in ("ADD", "DEL", "STATUS")
        ),
        Step("GC of a version that has none", "GC", {**BRIDGE, "cniVersion": "1.0.0"}),
        Step("portmap first in a chain", "ADD", PORTMAP),
        Step("dns first in a chain", "ADD", {"type": "dns"}),
        Step("no command at all", "", BRIDGE),
    ]


SCRIPT: tuple[Step, ...] = (
    *(step for plugin in ("bridge", "dnsname", "firewall") for step in versions(plugin)),
    *bad_input(),
    *chain("nftables", BRIDGE, PORTMAP, {"type": "firewall", "backend": "nftables"}, {"type": "dns"}),
    *chain("iptables", IPTABLES, {**PORTMAP, "backend": "iptables"}, {"type": "firewall", "backend": "iptables"}, TUNING),
    *chain("layer 2", {"type": "bridge", "bridge": "br0"}),
    *chain("loopback", {"type": "loopback"}),
    Step("ADD before GC", "ADD", BRIDGE),
    Step("GC of all", "GC", {**BRIDGE, **NOTHING_VALID}),
    Step("a folder of the caller's", "ADD", {"type": "host-local", "ipam": {**HOST_LOCAL, "dataDir": "pool"}}, cwd="/var/lib/cni"),
    Step("and back", "DEL", {"type": "host-local", "ipam": {**HOST_LOCAL, "dataDir": "pool"}}, cwd="/var/lib/cni"),
    Step("a netns by a relative path", "ADD", BRIDGE, {"CNI_NETNS": "netns/box"}, cwd="/run"),
    Step("taken back by an absolute one", "DEL", BRIDGE),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What a call did: status, both outputs, and the host's state behind it."""

    status: int
    stdout: str
    stderr: str
    state: tuple[str, ...]


def play(host: PrivateHost, env: Mapping[str, str]) -> list[Outcome]:
    """Run the whole script in a host."""
    host.add_netns("box")
    before = host.snapshot(ignore=IGNORED)
    previous: dict[str, Any] = {}
    outcomes = []
    for step in SCRIPT:
        done = call(host, step, env, previous)
        if step.verb == "ADD" and done.returncode == 0:
            previous = json.loads(done.stdout)
        outcomes.append(Outcome(done.returncode, done.stdout, done.stderr, changes(host, before)))
    return outcomes


def call(
    host: PrivateHost, step: Step, env: Mapping[str, str], previous: dict[str, Any]
) -> subprocess.CompletedProcess[str]:
    variables = {
        "CNI_COMMAND": step.verb,
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": NETNS,
        "CNI_IFNAME": "eth0",
        "CNI_PATH": ours.BIN,
        **step.env,
    }
    text = step.config
    if isinstance(text, Mapping):
        document: dict[str, Any] = {"cniVersion": "1.1.0", "name": "net", **text}
        if document.get("prevResult") == PREVIOUS["prevResult"]:
            document["prevResult"] = previous
        text = json.dumps(document)
    return subprocess.run(
        host.argv([f"{ours.BIN}/{step.executable}"], cwd=step.cwd),
        env={**env, **{name: value for name, value in variables.items() if value}},
        input=text,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=60,
        check=False,
    )


def changes(host: PrivateHost, before: Snapshot) -> tuple[str, ...]:
    """How the host differs from its beginning, without what is another in every host: its cookie, inodes and times."""
    return tuple(_plain(line) for line in host.snapshot(ignore=IGNORED).diff(before))


def _plain(line: str) -> str:
    line = re.sub(r"/run/linkspan/\d+", "/run/linkspan/N", line)
    line = re.sub(r'"(inode|cookie)": \d+', r'"\1": N', line)
    line = re.sub(r'"boot": "[^"]*"', '"boot": "B"', line)
    line = re.sub(r'"checksum": "[^"]*"', '"checksum": "C"', line)
    return re.sub(r'"stamp": \[[^]]*\]', '"stamp": S', line)


@pytest.fixture(scope="module")
def both() -> list[tuple[Outcome, Outcome]]:
    """Each step's outcome (with a resident, standalone)."""
    with PrivateHost() as warm, PrivateHost() as alone:
        for host in (warm, alone):
            ours.install(host)
        with ours.resident(warm):
            served = play(warm, ours.RESIDENT)
            assert "answers" in ours.linkspan(warm, "resident", "status")
        return list(zip(served, play(alone, ours.STANDALONE), strict=True))


@pytest.mark.parametrize("number", range(len(SCRIPT)), ids=[step.name for step in SCRIPT])
def test_resident_and_standalone_say_and_do_the_same(
    both: list[tuple[Outcome, Outcome]], number: int
) -> None:
    served, alone = both[number]
    assert (served.status, served.stdout, served.stderr) == (alone.status, alone.stdout, alone.stderr)
    assert served.state == alone.state


def test_the_script_has_calls_that_succeed_and_calls_that_fail(both: list[tuple[Outcome, Outcome]]) -> None:
    statuses = [served.status for served, _ in both]
    assert (statuses.count(0) > 40, statuses.count(1) > 40) == (True, True)


def test_the_script_leaves_nothing_behind(both: list[tuple[Outcome, Outcome]]) -> None:
    for outcome in both[-1]:
        kept = [line for line in outcome.state if "veth" in line or "/records/" in line or "c1" in line]
        assert kept == []
