"""What a plugin answered, and the questions a case may ask of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.conformance.registry import Failed, expect

JsonObject = dict[str, Any]

#: What an uncaught error of Python or Go prints.
_CRASHES = ("Traceback (most recent call last)", "goroutine 1 [", "panic: ")


@dataclass(frozen=True)
class Answer:
    """One execution of one plugin; `seconds` includes the start of the process."""

    plugin: str
    verb: str
    status: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def succeeded(self) -> bool:
        """Whether the exit status is 0."""
        return self.status == 0

    def __str__(self) -> str:
        said = " ".join((self.stdout.strip() or self.stderr.strip()).split())
        return f"{self.plugin} {self.verb}: status {self.status}: {_cut(said)}"

    def ok(self, when: str = "") -> Answer:
        """Itself, if the plugin succeeded."""
        self.sane()
        expect(self.succeeded, f"{self}{_when(when)}")
        return self

    def silent(self, when: str = "") -> Answer:
        """Itself, if the plugin succeeded and printed nothing on stdout."""
        self.ok(when)
        expect(self.stdout == "", f"{self.plugin} {self.verb} prints on success: {_cut(self.stdout)!r}")
        return self

    @property
    def result(self) -> JsonObject:
        """The result on stdout of a call that succeeded: exactly one JSON object."""
        self.ok()
        return self._document()

    def error(self, *codes: int, when: str = "") -> JsonObject:
        """The error object of a call that failed, if its code is one of `codes` (none given: any from 1 up)."""
        self.sane()
        expect(not self.succeeded, f"{self.plugin} {self.verb} succeeds{_when(when)}")
        document = self._document()
        code = document.get("code")
        expect(type(code) is int and code >= 1, f"code is {code!r}: {self}")
        expect(not codes or code in codes, f"code {code} instead of {_either(codes)}{_when(when)}: {self}")
        expect(document.get("msg"), f"no msg: {self}")
        return document

    def sane(self) -> Answer:
        """Itself, unless the plugin died of a signal or an uncaught error, or failed without a word of JSON."""
        expect(self.status >= 0, f"{self.plugin} {self.verb} died of signal {-self.status}")
        crashed = next((each for each in _CRASHES if each in self.stdout + self.stderr), None)
        expect(crashed is None, f"{self.plugin} {self.verb} crashed: {_cut(self.stderr or self.stdout)}")
        expect(self.succeeded or self.stdout, f"fails without an error object: {self}")
        return self

    def _document(self) -> JsonObject:
        try:
            document = json.loads(self.stdout)
        except ValueError:
            raise Failed(f"stdout is not exactly one JSON document: {self}") from None
        expect(isinstance(document, dict), f"stdout is not a JSON object: {self}")
        return dict(document)


def _when(when: str) -> str:
    return f" ({when})" if when else ""


def _either(codes: tuple[int, ...]) -> str:
    return " or ".join(map(str, codes))


def _cut(text: str, limit: int = 160) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
