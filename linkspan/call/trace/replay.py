"""Making a traced call again, on a host that gives the recorded answers, or on a real one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from linkspan.call.dispatch import Answer, answer
from linkspan.call.plugin import load
from linkspan.call.trace.codec import decoded, decoded_error, encoded
from linkspan.call.trace.mask import MASKED
from linkspan.call.trace.record import FORMAT, PARTS, arguments_of

if TYPE_CHECKING:
    from linkspan.host.contract import Host


class NotATrace(Exception):
    """The file is not a trace, or one of another format."""


class Diverged(BaseException):
    """The call asked the host for something else than it did when it was traced. No handler of a plugin may
    stop it.
    """


def read(path: str) -> dict[str, Any]:
    """The trace in a file. Raises NotATrace, OSError."""
    with open(path, encoding="utf-8") as file:
        try:
            document: dict[str, Any] = json.load(file)
        except ValueError as error:
            raise NotATrace(f"{path} is not JSON: {error}") from None
    if not isinstance(document, dict) or document.get("trace") != FORMAT:
        raise NotATrace(f"{path} is not a trace of format {FORMAT}")
    return document


def replay(trace: Mapping[str, Any], host: Host | None = None, *, netns: str = "") -> Answer:
    """The answer of a traced call when it is made again. Raises Diverged.

    Without `host` the world is the recorded one. With a real host `netns` stands for the traced CNI_NETNS.
    """
    request = trace["request"]
    env = dict(request["environment"])
    if netns:
        env["CNI_NETNS"] = netns
    player = Player(trace) if host is None else None
    plugin = load(trace["plugin"])
    answered = answer(
        plugin, request["stdin"].encode(), env, cast("Host", host or player), cwd=request["cwd"]
    )
    if player is not None:
        player.see_that_all_was_asked()
    return answered


class Player:
    """The contract's Host in a recorded world: each request in its turn gets the answer that it got."""

    def __init__(self, trace: Mapping[str, Any]) -> None:
        self.state_dir, self.boot = trace["host"]["state_dir"], trace["host"]["boot"]
        self.warnings: list[str] = []
        self._requests = iter(trace["requests"])
        for name in PARTS:
            setattr(self, name, _Part(name, self))

    def links(self, netns: str = "") -> Any:
        """See contract.Host."""
        self.ask("links", {"0": netns})
        return _Part(f"links({netns})", self)

    def same_netns(self, netns: str) -> bool:
        """See contract.Host."""
        return bool(self.ask("same_netns", {"0": netns}))

    def netns_identity(self, netns: str) -> str:
        """See contract.Host."""
        return str(self.ask("netns_identity", {"0": netns}))

    def listening(self, *arguments: Any) -> Any:
        """See contract.Host."""
        return self.ask("listening", arguments_of(arguments, {}))

    def warn(self, message: str) -> None:
        """See contract.Host."""
        self.warnings.append(message)
        self.ask("warn", {"0": message})

    def close(self) -> None:
        """See contract.Host."""

    def ask(self, name: str, arguments: dict[str, Any]) -> Any:
        """The recorded answer to a request, or its error. Raises Diverged."""
        entry = next(self._requests, None)
        asked = encoded(arguments)
        if entry is None or entry["request"] != name or not _agree(entry["arguments"], asked):
            recorded = "nothing" if entry is None else f"{entry['request']} {json.dumps(entry['arguments'])}"
            raise Diverged(f"the call asks for {name} {json.dumps(asked)} where it asked for {recorded}")
        if "error" in entry:
            raise decoded_error(entry["error"])
        return decoded(entry.get("answer"))

    def see_that_all_was_asked(self) -> None:
        """Raise Diverged if the call ended before it made every recorded request."""
        entry = next(self._requests, None)
        if entry is not None:
            raise Diverged(f"the call ends where it asked for {entry['request']}")


def _agree(recorded: Any, asked: Any) -> bool:
    """Whether two encoded values are the same but for what was masked."""
    if recorded == MASKED:
        return True
    if isinstance(recorded, dict) and isinstance(asked, dict):
        return recorded.keys() == asked.keys() and all(_agree(recorded[key], asked[key]) for key in recorded)
    if isinstance(recorded, list) and isinstance(asked, list):
        return len(recorded) == len(asked) and all(map(_agree, recorded, asked))
    return bool(recorded == asked)


class _Part:
    def __init__(self, name: str, player: Player) -> None:
        self._name, self._player = name, player

    def __getattr__(self, method: str) -> Any:
        name = f"{self._name}.{method}"

        def request(*positional: Any, **named: Any) -> Any:
            arguments = arguments_of(positional, named)
            return (
                self._lock(name, arguments)
                if method.startswith("lock")
                else self._player.ask(name, arguments)
            )

        return request

    @contextmanager
    def _lock(self, name: str, arguments: dict[str, Any]) -> Iterator[None]:
        self._player.ask(name, arguments)
        yield
