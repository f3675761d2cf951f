"""Drives the CNI project's own `cnitool` inside a private host, so that its library, not ours, calls the plugins.

    tool = CniTool(host, require(tools.cnitool), cni_path)
    tool.network(conflist)
    answer = tool.add("web", host.add_netns("box"), capabilities={"portMappings": [...]})
    assert answer.status == 0, answer.stderr
    answer.result["ips"]

cnitool makes the container id from the namespace's path: `cnitool-` and the first 20 hex digits of its SHA-512.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.harness.privatehost import PrivateHost


@dataclass(frozen=True)
class Answer:
    """What one run of cnitool gave; `result` is its stdout as JSON, {} when it printed none."""

    status: int
    stdout: str
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        """Return the CNI result of an ADD."""
        parsed: dict[str, Any] = json.loads(self.stdout) if self.stdout.strip() else {}
        return parsed


class CniTool:
    """cnitool with its settings; `cni_path` is one directory, or several, inside the host."""

    def __init__(
        self,
        host: PrivateHost,
        program: str,
        cni_path: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._host = host
        self._program = program
        self._cni_path = cni_path if isinstance(cni_path, str) else ":".join(cni_path)
        self._env = dict(os.environ if env is None else env)

    def network(self, conflist: str | Mapping[str, Any]) -> str:
        """Write a network list to the host's /etc/cni/net.d and return the network's name."""
        text = conflist if isinstance(conflist, str) else json.dumps(conflist)
        name: str = json.loads(text)["name"]
        self._host.write(f"/etc/cni/net.d/{name}.conflist", text)
        return name

    def add(self, network: str, netns: str, **options: Any) -> Answer:
        """Attach the namespace at path `netns`; options as for `run`."""
        return self.run("add", network, netns, **options)

    def check(self, network: str, netns: str, **options: Any) -> Answer:
        """Compare the attachment with the result that cnitool keeps in /var/lib/cni."""
        return self.run("check", network, netns, **options)

    def delete(self, network: str, netns: str, **options: Any) -> Answer:
        """Detach; the previous result comes from what cnitool keeps in /var/lib/cni."""
        return self.run("del", network, netns, **options)

    def gc(self, network: str) -> Answer:
        """DEL every attachment cnitool remembers on this network, then send GC without a list of valid ones."""
        return self.run("gc", network, "/none")

    def status(self, network: str) -> Answer:
        """Ask every plugin whether it is ready."""
        return self.run("status", network, "/none")

    def run(
        self,
        verb: str,
        network: str,
        netns: str,
        *,
        ifname: str = "eth0",
        args: str = "",
        capabilities: Mapping[str, Any] | None = None,
        timeout: float = 60,
    ) -> Answer:
        """Run one verb; `args` is the text of CNI_ARGS, `capabilities` what plugins may declare an interest in."""
        environment = {**self._env, "CNI_PATH": self._cni_path, "CNI_IFNAME": ifname}
        if args:
            environment["CNI_ARGS"] = args
        if capabilities:
            environment["CAP_ARGS"] = json.dumps(capabilities)
        done = self._host.run(
            [self._program, verb, network, netns], env=environment, timeout=timeout, check=False
        )
        return Answer(done.returncode, done.stdout, done.stderr)


def container_id(netns: str) -> str:
    """Return the container id that cnitool uses for the namespace at that path."""
    return "cnitool-" + hashlib.sha512(netns.encode()).hexdigest()[:20]
