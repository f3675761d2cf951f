"""A runtime without a kernel: calls go through `dispatch.serve`, as every real call does, to a host in memory.

    desk = Desk()
    answer = desk.call("ADD", {"type": "bridge", ...})
    assert answer.status == 0

The host is `linkspan.host.memory.MemoryHost`, with one container, BOX; host-local is found in CNI_PATH.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from linkspan.call.dispatch import serve
from linkspan.call.plugin import load
from linkspan.host.contract import Finished
from linkspan.host.memory import MemoryHost
from linkspan.host.memory.processes import Run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BOX = "/run/netns/box"
#: Where our host-local is, and where foreign programs are.
OURS, FOREIGN = f"{ROOT}/plugins/host-local-ipam", "/foreign"
VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")


@dataclass(frozen=True)
class Answer:
    """Exit status and the JSON object on stdout, {} if there was none."""

    status: int
    document: dict[str, Any]

    @property
    def code(self) -> int:
        """The error's code, 0 if there is none."""
        return int(self.document.get("code", 0)) if self.status else 0

    @property
    def msg(self) -> str:
        """The error's message."""
        return str(self.document.get("msg", ""))


class Desk:
    """A host in memory and the means to call plugins on it; `result` is what the last ADD answered."""

    def __init__(
        self, host: MemoryHost | None = None, *, network: str = "net", version: str = "1.1.0"
    ) -> None:
        self.host = host or MemoryHost()
        self.host.add_netns(BOX)
        self.host.processes.own[f"{OURS}/host-local"] = "host-local"
        self.network = network
        self.version = version
        self.result: dict[str, Any] = {}

    def call(
        self,
        verb: str,
        config: Mapping[str, Any],
        *,
        container_id: str = "c1",
        ifname: str = "eth0",
        netns: str = BOX,
        args: str = "",
        env: Mapping[str, str] | None = None,
    ) -> Answer:
        """One call of `config["type"]`. CHECK gets the last ADD's result unless `config` has one."""
        document = {"cniVersion": self.version, "name": self.network, **config}
        if verb == "CHECK":
            document.setdefault("prevResult", self.result)
        variables = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": container_id,
            "CNI_NETNS": netns,
            "CNI_IFNAME": ifname,
            "CNI_ARGS": args,
            "CNI_PATH": f"{OURS}:{FOREIGN}",
            **(env or {}),
        }
        plugin = load(str(config["type"]))
        status, stdout = serve(plugin, json.dumps(document).encode(), variables, self.host)
        assert self.host.files.held == set(), "a lock is held after the call"
        said = Answer(status, json.loads(stdout) if stdout else {})
        if verb == "ADD" and status == 0:
            self.result = said.document
        return said

    def beside(self, network: str) -> Desk:
        """Another network on the same host."""
        other = Desk.__new__(Desk)
        other.host, other.network, other.version, other.result = self.host, network, self.version, {}
        return other

    def program(self, name: str, body: Callable[[Run], Finished]) -> None:
        """Put a foreign program into CNI_PATH."""
        self.host.processes.programs[f"{FOREIGN}/{name}"] = body


class SpyIpam:
    """A foreign IPAM program: `verbs` is what it was asked, `leases` who has an address by its own account."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses or ("10.5.0.2/24",)
        self.verbs: list[str] = []
        self.leases: set[str] = set()
        self.fails: set[str] = set()

    def __call__(self, run: Run) -> Finished:
        verb = run.env["CNI_COMMAND"]
        self.verbs.append(verb)
        if verb in self.fails:
            error = {"code": 123, "msg": f"spy fails {verb}", "details": "on purpose"}
            return Finished(1, json.dumps(error).encode())
        if verb == "ADD":
            self.leases.add(run.env["CNI_CONTAINERID"])
        elif verb == "DEL":
            self.leases.discard(run.env["CNI_CONTAINERID"])
        version = json.loads(run.stdin)["cniVersion"]
        ips = [{"address": each} for each in self.addresses]
        return Finished(0, json.dumps({"cniVersion": version, "ips": ips}).encode() if verb == "ADD" else b"")
