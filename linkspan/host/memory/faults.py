"""Faults on demand: which request to a host in memory fails, and how."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from linkspan.cni.errors import IoFailure, KernelRefused

#: A request: "part.method", and which of its name it is, counted from 1.
Request = tuple[str, int]
#: How a request fails: with an errno, as on the real host, or with an exception as it is.
Failure = int | BaseException
_Part = TypeVar("_Part")


@dataclass(frozen=True, slots=True)
class ReplyLost:
    """A request that is carried out and fails nevertheless, as when the kernel's reply does not fit
    (ENOBUFS).
    """

    failure: Failure


class Killed(BaseException):
    """Stands for a SIGKILL: no handler can undo anything, because every further request raises it too."""


class Faults:
    """Counts requests and makes some fail.

    `refuse` says which fail and how: every one of a name, or its n-th. Such a request does nothing, unless
    its failure is a ReplyLost. `requests` has all requests so far, as keys that `refuse` takes, so that a
    test can refuse each in turn. The request `dies_at`, and each after it, raises Killed.
    """

    def __init__(
        self, refuse: Mapping[str | Request, Failure | ReplyLost] | None, dies_at: Request | None
    ) -> None:
        self.refuse = dict(refuse or {})
        self.dies_at = dies_at
        self.requests: list[Request] = []
        self._dead = False
        self._counts: Counter[str] = Counter()

    def revive(self) -> None:
        """Let the next process call: nothing is refused, and requests are counted from the beginning."""
        self.refuse, self.dies_at, self._dead = {}, None, False
        self.requests.clear()
        self._counts.clear()

    def guarded(self, name: str, protocol: type, part: _Part) -> _Part:
        """The same part of a host, whose methods of the contract pass through `count`."""
        return cast("_Part", _Guarded(name, protocol, part, self))

    def count(self, method: str, subject: str) -> BaseException | None:
        """Count a request.

        Raise what it is refused with, or return what it fails with once it is carried out.
        """
        self._counts[method] += 1
        request = (method, self._counts[method])
        self._dead = self._dead or request == self.dies_at
        if self._dead:
            raise Killed
        self.requests.append(request)
        refusal = self.refuse.get(request, self.refuse.get(method))
        if isinstance(refusal, ReplyLost):
            return _exception(method, subject, refusal.failure)
        if refusal is not None:
            raise _exception(method, subject, refusal)
        return None


class _Guarded:
    """A part of a host.

    Attributes that are not of the contract, which tests use, are those of the part itself.
    """

    def __init__(self, name: str, protocol: type, part: object, faults: Faults) -> None:
        vars(self).update(_name=name, _protocol=protocol, _part=part, _faults=faults)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._part, name, value)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name not in vars(self._protocol):
            return found

        def checked(*positional: Any, **named: Any) -> Any:
            failure = self._faults.count(f"{self._name}.{name}", str(positional[0]) if positional else "")
            answer = found(*positional, **named)
            if failure is not None:
                raise failure
            return answer

        return checked


def _exception(method: str, subject: str, failure: Failure) -> BaseException:
    """What the real host raises for an errno: files and programs fail, the kernel refuses."""
    if isinstance(failure, BaseException):
        return failure
    if method.startswith(("files.", "processes.", "services.")):
        shown = f"cannot {method.partition('.')[2]} {subject[:60]}"
        return IoFailure(f"{shown}: {os.strerror(failure)}", errno=failure)
    return KernelRefused(f"do {method} {subject[:40]}".strip(), failure or errno.EIO)
