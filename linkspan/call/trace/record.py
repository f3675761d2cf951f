"""Writing a call down while it is served: one file a call."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, cast

from linkspan.call.plugin import MODULES, load
from linkspan.call.trace import mask
from linkspan.call.trace.codec import encoded, encoded_error, shown
from linkspan.call.trace.mask import Mask
from linkspan.cni.schema import load as load_schema
from linkspan.host import contract

if TYPE_CHECKING:
    from linkspan.call.transaction import Step
    from linkspan.host.contract import Host

#: Parts of the host: attribute -> contract.
PARTS: Mapping[str, type] = {
    "iptables": contract.Iptables,
    "nftables": contract.Nftables,
    "conntrack": contract.Conntrack,
    "files": contract.Files,
    "processes": contract.Processes,
    "namespaces": contract.Namespaces,
    "services": contract.Services,
}
FORMAT = 1


class Recorder:
    """One call's record, and its transaction's observer. `host` is the host to serve the call with."""

    def __init__(self, plugin: str, stdin: bytes, env: Mapping[str, str], cwd: str, host: Host) -> None:
        self._begun = time.monotonic()
        self._plugin, self._cwd = plugin, cwd
        self._mask = Mask(stdin, env, [load_schema(load(each).schema) for each in MODULES])
        self._traceback = ""
        self._requests: list[dict[str, Any]] = []
        self._plan: list[Any] = []
        self._facts: list[Any] = []
        self._real = host
        self.host: Host = cast("Host", _RecordedHost(host, self._asked))

    def step(self, step: Step) -> None:
        """A step that is about to be carried out."""
        self._plan.append(shown(step))

    def facts(self, facts: object) -> None:
        """What a plan is made from."""
        self._facts.append(shown(facts))

    def failed(self, traceback: str) -> None:
        """An internal fault."""
        self._traceback = traceback

    def write(self, folder: str, answer: tuple[int, bytes]) -> None:
        """Write the record of the answered call into a folder, which is made if need be. Raises OSError."""
        env = self._mask.environment
        os.makedirs(folder, mode=0o700, exist_ok=True)
        words = (env.get("CNI_COMMAND", ""), self._plugin, env.get("CNI_CONTAINERID", "")[:12])
        name = "-".join((str(time.time_ns()), *(each.replace("/", "_") for each in words if each)))
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        with open(os.open(f"{folder}/{name}.json", flags, 0o600), "w", encoding="utf-8") as file:
            json.dump(self._document(answer), file, indent=1)
            file.write("\n")

    def _document(self, answer: tuple[int, bytes]) -> dict[str, Any]:
        status, stdout = answer
        return {
            "trace": FORMAT,
            "plugin": self._plugin,
            "request": {
                "environment": self._mask.environment,
                "stdin": self._mask.stdin.decode(),
                "cwd": self._cwd,
            },
            "host": {"state_dir": self._real.state_dir, "boot": self._real.boot},
            "facts": self._mask.applied(self._facts),
            "plan": self._mask.applied(self._plan),
            "requests": self._requests,
            "answer": {"status": status, "stdout": stdout.decode()},
            "traceback": self._mask.applied(self._traceback),
            "milliseconds": self._elapsed(self._begun),
        }

    def _asked(self, name: str, arguments: dict[str, Any], call: Callable[[], Any]) -> Any:
        """Make one request of the host, and note it with its answer and its time."""
        begun = time.monotonic()
        entry: dict[str, Any] = {"request": name, "arguments": self._mask.applied(encoded(arguments))}
        self._requests.append(entry)
        try:
            answer = call()
        except BaseException as error:
            entry["error"] = encoded_error(error)
            raise
        else:
            if not isinstance(answer, AbstractContextManager):
                readable = (
                    mask.file(str(arguments["0"]), answer) if name == "files.read" and answer else answer
                )
                entry["answer"] = self._mask.applied(encoded(readable))
            return answer
        finally:
            entry["milliseconds"] = self._elapsed(begun)

    @staticmethod
    def _elapsed(begun: float) -> float:
        return round((time.monotonic() - begun) * 1000, 3)


def arguments_of(positional: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a request by position ("0") or name, as a record has them."""
    return {**{str(at): each for at, each in enumerate(positional)}, **named}


Asked = Callable[[str, dict[str, Any], Callable[[], Any]], Any]


class _RecordedHost:
    """The contract's Host, every request of which passes through `asked`."""

    def __init__(self, host: Host, asked: Asked) -> None:
        self._host, self._asked = host, asked
        self.state_dir, self.boot = host.state_dir, host.boot
        self._parts: dict[str, _RecordedPart] = {}

    def __getattr__(self, name: str) -> Any:
        if name not in PARTS:
            raise AttributeError(name)
        if name not in self._parts:
            self._parts[name] = _RecordedPart(name, PARTS[name], getattr(self._host, name), self._asked)
        return self._parts[name]

    def links(self, netns: str = "") -> Any:
        """See contract.Host."""
        found = self._asked("links", {"0": netns}, lambda: _Opened(self._host.links(netns)))
        return _RecordedPart(f"links({netns})", contract.Links, found.part, self._asked)

    def same_netns(self, netns: str) -> bool:
        """See contract.Host."""
        return bool(self._asked("same_netns", {"0": netns}, lambda: self._host.same_netns(netns)))

    def netns_identity(self, netns: str) -> str:
        """See contract.Host."""
        return str(self._asked("netns_identity", {"0": netns}, lambda: self._host.netns_identity(netns)))

    def listening(self, *arguments: Any) -> Any:
        """See contract.Host."""
        return self._asked("listening", arguments_of(arguments, {}), lambda: self._host.listening(*arguments))

    @property
    def warnings(self) -> Sequence[str]:
        """See contract.Host. Not a request: it asks the host for nothing."""
        return self._host.warnings

    def warn(self, message: str) -> None:
        """See contract.Host."""
        self._asked("warn", {"0": message}, lambda: self._host.warn(message))

    def close(self) -> None:
        """See contract.Host."""
        self._host.close()


class _Opened(AbstractContextManager["_Opened"]):
    """A part of the host, which is an answer without a value of its own."""

    def __init__(self, part: Any) -> None:
        self.part = part

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


class _RecordedPart:
    """One part of the host; a method that is a context manager is noted when it is entered."""

    def __init__(self, name: str, protocol: type, part: Any, asked: Asked) -> None:
        self._name, self._protocol, self._part, self._asked = name, protocol, part, asked

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._part, method)
        if method not in vars(self._protocol):
            return found
        name = f"{self._name}.{method}"

        def request(*positional: Any, **named: Any) -> Any:
            arguments = arguments_of(positional, named)
            if method.startswith("lock"):
                return self._locked(name, arguments, found(*positional, **named))
            return self._asked(name, arguments, lambda: found(*positional, **named))

        return request

    @contextmanager
    def _locked(
        self, name: str, arguments: dict[str, Any], lock: AbstractContextManager[None]
    ) -> Iterator[None]:
        self._asked(name, arguments, lock.__enter__)
        try:
            yield
        finally:
            lock.__exit__(None, None, None)
