"""A container runtime reduced to its network half: runs a list of plugins the way the CNI library does.

    chain = Chain(conflist, cni_path, host=host)
    box = Attachment("c1", host.add_netns("box"), capabilities={"portMappings": [{"hostPort": 8080, ...}]})
    result = chain.add(box)
    chain.check(box)
    chain.delete(box)

Each plugin gets its own part of the list with `name`, `cniVersion`, `runtimeConfig` (what it declares in
`capabilities` and the attachment offers) and `prevResult`; DEL runs in reverse order; the result of an ADD is kept,
in memory, for the CHECK and DEL that follow. Without a host the plugins run in the namespaces of this process.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.harness.privatehost import PrivateHost

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class Attachment:
    """One container on one network; `netns` is a path inside the host, `args` the text of CNI_ARGS."""

    container_id: str
    netns: str
    ifname: str = "eth0"
    args: str = ""
    capabilities: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Call:
    """One execution of one plugin: what it said and how many seconds it took, the start of the process included."""

    plugin: str
    verb: str
    status: int
    stdout: str
    stderr: str
    seconds: float


class ChainError(Exception):
    """A plugin failed; `call` says which one and `error` is the error object it printed ({} if none)."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.error = _json_object(call.stdout)
        said = f"{self.error.get('msg', '')}; {self.error.get('details', '')}" if self.error else call.stdout
        super().__init__(f"{call.plugin} {call.verb}: status {call.status}: {said} {call.stderr}".strip())


class Chain:
    """A network list and the means to run it; `calls` records every execution, oldest first.

    `conflist` is a parsed list or its JSON text. `cni_path` is one directory, or several, inside the host. `env` is
    the environment that the plugins get besides CNI_* (none given: ours, as the CNI library does).
    """

    def __init__(
        self,
        conflist: str | Mapping[str, Any],
        cni_path: str | Sequence[str],
        *,
        host: PrivateHost | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        timeout: float = 60,
    ) -> None:
        self.conflist: JsonObject = json.loads(conflist) if isinstance(conflist, str) else dict(conflist)
        self.name: str = self.conflist["name"]
        self.version: str = self.conflist.get("cniVersion", "0.1.0")
        self.plugins: list[JsonObject] = self.conflist["plugins"]
        self.cni_path = [cni_path] if isinstance(cni_path, str) else list(cni_path)
        self.calls: list[Call] = []
        self._host = host
        self._env = dict(os.environ if env is None else env)
        self._cwd = cwd
        self._timeout = timeout
        self._results: dict[tuple[str, str], JsonObject] = {}
        self._executables: dict[str, str] = {}

    # --- the verbs --------------------------------------------------------------------------------------------

    def add(self, attachment: Attachment) -> JsonObject:
        """Attach and return the last plugin's result. As in a runtime, nothing is undone after a ChainError."""
        result: JsonObject | None = None
        for plugin in self.plugins:
            config = self.config(plugin, attachment, result)
            result = json.loads(self.call(plugin["type"], "ADD", config, attachment).stdout)
        assert result is not None, "a list has at least one plugin"
        self._results[attachment.container_id, attachment.ifname] = result
        return result

    def check(self, attachment: Attachment, result: JsonObject | None = None) -> None:
        """Have every plugin compare the host with `result` (none given: what our ADD returned)."""
        kept = result or self.result(attachment)
        for plugin in self.plugins:
            self.call(plugin["type"], "CHECK", self.config(plugin, attachment, kept), attachment)

    def delete(
        self, attachment: Attachment, result: JsonObject | None = None, *, forget: bool = False
    ) -> None:
        """Detach, last plugin first. `prevResult` is `result` or what our ADD returned; with `forget`, absent."""
        kept = None if forget else result or self.result(attachment)
        for plugin in reversed(self.plugins):
            self.call(plugin["type"], "DEL", self.config(plugin, attachment, kept), attachment)
        self._results.pop((attachment.container_id, attachment.ifname), None)

    def gc(self, valid: Iterable[Attachment] | None) -> None:
        """Send GC with the attachments that still exist; None sends no list at all, as cnitool does.

        Every plugin is asked; the first failure is raised afterwards. Unlike the CNI library this sends no DEL.
        """
        injected: JsonObject = {}
        if valid is not None:
            listed = [{"containerID": one.container_id, "ifname": one.ifname} for one in valid]
            injected = {"cni.dev/valid-attachments": listed, "cni.dev/attachments": listed}
        failures = []
        for plugin in self.plugins:
            try:
                self.call(plugin["type"], "GC", {**self.config(plugin), **injected})
            except ChainError as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    def status(self) -> None:
        """Ask every plugin whether it is ready; the first that is not raises ChainError."""
        for plugin in self.plugins:
            self.call(plugin["type"], "STATUS", self.config(plugin))

    def versions(self) -> dict[str, JsonObject]:
        """Return plugin type -> its answer to VERSION."""
        asked = {"cniVersion": self.version}
        return {
            plugin["type"]: json.loads(self.call(plugin["type"], "VERSION", asked).stdout)
            for plugin in self.plugins
        }

    # --- parts, for tests that need to send something else ----------------------------------------------------

    def result(self, attachment: Attachment) -> JsonObject | None:
        """Return what ADD returned for this attachment, None before ADD and after DEL."""
        return self._results.get((attachment.container_id, attachment.ifname))

    def config(
        self, plugin: JsonObject, attachment: Attachment | None = None, previous: JsonObject | None = None
    ) -> JsonObject:
        """Return the JSON document for one plugin of the list, which is not changed."""
        config = {**plugin, "name": self.name, "cniVersion": self.version}
        if attachment is not None:
            wanted = [name for name, declared in plugin.get("capabilities", {}).items() if declared]
            offered = {
                name: attachment.capabilities[name] for name in wanted if name in attachment.capabilities
            }
            if offered:
                config["runtimeConfig"] = offered
        if previous is not None:
            config["prevResult"] = previous
        return config

    def call(
        self, plugin_type: str, verb: str, config: JsonObject | str, attachment: Attachment | None = None
    ) -> Call:
        """Run one plugin once; raises ChainError when its exit status is not 0."""
        environment = {**self._env, **self.variables(verb, attachment)}
        stdin = config if isinstance(config, str) else json.dumps(config)
        started = time.perf_counter()
        done = self._run([self.executable(plugin_type)], environment, stdin)
        seconds = time.perf_counter() - started
        call = Call(plugin_type, verb, done.returncode, done.stdout, done.stderr, seconds)
        self.calls.append(call)
        if done.returncode != 0:
            raise ChainError(call)
        return call

    def variables(self, verb: str, attachment: Attachment | None = None) -> dict[str, str]:
        """Return the CNI_* variables; those that describe an attachment are empty where there is none."""
        return {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": attachment.container_id if attachment else "",
            "CNI_NETNS": attachment.netns if attachment else "",
            "CNI_IFNAME": attachment.ifname if attachment else "",
            "CNI_ARGS": attachment.args if attachment else "",
            "CNI_PATH": ":".join(self.cni_path),
        }

    def executable(self, plugin_type: str) -> str:
        """Return the path of the first executable of that name in `cni_path`; FileNotFoundError if there is none."""
        if plugin_type not in self._executables:
            found: Callable[[str], str] = self._host.path if self._host else str
            for directory in self.cni_path:
                path = os.path.join(directory, plugin_type)
                # The host may name it by a symbolic link that is absolute inside it, so lexists is all we ask.
                if os.path.lexists(found(path)):
                    self._executables[plugin_type] = path
                    break
            else:
                raise FileNotFoundError(f"no plugin {plugin_type!r} in {':'.join(self.cni_path)}")
        return self._executables[plugin_type]

    def _run(self, argv: list[str], env: dict[str, str], stdin: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._host.argv(argv, cwd=self._cwd) if self._host else argv,
            env=env,
            cwd=None if self._host else self._cwd,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=self._timeout,
            check=False,
        )


def _json_object(text: str) -> JsonObject:
    try:
        parsed = json.loads(text)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
