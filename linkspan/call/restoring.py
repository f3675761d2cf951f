"""Restoring the parts of attachments that the host no longer has.

A part is looked at first and made only if it is incomplete, so that restoring what is complete changes
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from linkspan.call.exclusion import exclusively
from linkspan.call.records import Records
from linkspan.cni.errors import AttachmentWrong, Bug, CniError

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What to restore: the attachments to one network, or to all for "".

    With `rules_only` links, addresses and sysctls are looked at and left as they are, since an
    administrator may have changed them on purpose.
    """

    network: str = ""
    rules_only: bool = False


EVERYTHING = Scope()


class Part(Protocol):
    """Something of an attachment that may be incomplete."""

    def missing(self, host: Host) -> list[str]:
        """What is not there, as sentences."""

    def do(self, host: Host) -> object:
        """Make it complete. Repeating it changes nothing."""


@dataclass(frozen=True, slots=True)
class MadeOf:
    """A part made of two functions."""

    find: Callable[[Host], list[str]]
    make: Callable[[Host], object]

    def missing(self, host: Host) -> list[str]:
        """What is not there, as sentences."""
        return self.find(host)

    def do(self, host: Host) -> object:
        return self.make(host)


@dataclass(frozen=True, slots=True)
class LookedAt:
    """A part that is not made, whatever is missing."""

    part: Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was missing of an attachment, None for what several share; `error` says what is still missing.

    `noticed` is missing and was left so.
    """

    plugin: str
    attachment: Attachment | None
    missing: tuple[str, ...] = ()
    noticed: tuple[str, ...] = ()
    error: CniError | None = None


#: The parts of an attachment, by its record.
PartsOf = Callable[["Attachment", Mapping[str, Any]], Iterable[Part | LookedAt]]


def restore_each(host: Host, plugin: str, scope: Scope, parts_of: PartsOf) -> Iterator[Restored]:
    """Restore the parts of each attachment that the plugin has a record of.

    The record is read, and everything done, while the attachment's lock is held: without it a DEL could
    remove the rules before they are made, and they would stay for ever.
    """
    records = Records(host, plugin)

    def parts(attachment: Attachment) -> Iterable[Part | LookedAt]:
        record = records.read(attachment)
        return () if record is None else parts_of(attachment, record)

    for attachment, _ in records.all():
        if scope.network in ("", attachment.network):
            yield restored(host, plugin, attachment, partial(parts, attachment))


def restored(
    host: Host, plugin: str, attachment: Attachment | None, parts: Callable[[], Iterable[Part | LookedAt]]
) -> Restored:
    """Make what is incomplete of these parts; an error in one does not keep the others from being made."""
    outcome = _Outcome()
    act = partial(outcome.of, host, parts)
    try:
        if attachment is None:
            act()
        else:
            exclusively(host, plugin, attachment, act)
    except Exception as error:
        outcome.failed(error)
    return Restored(
        plugin=plugin,
        attachment=attachment,
        missing=tuple(outcome.missing),
        noticed=tuple(outcome.noticed),
        error=outcome.error,
    )


def reported(error: Exception) -> CniError:
    """The error to report for an exception."""
    return error if isinstance(error, CniError) else Bug.of(error)


class _Outcome:
    def __init__(self) -> None:
        self.missing: list[str] = []
        self.noticed: list[str] = []
        self.error: CniError | None = None

    def of(self, host: Host, parts: Callable[[], Iterable[Part | LookedAt]]) -> None:
        for part in parts():
            try:
                self._of_part(host, part)
            except Exception as error:
                self.failed(error)

    def _of_part(self, host: Host, part: Part | LookedAt) -> None:
        if isinstance(part, LookedAt):
            self.noticed += part.part.missing(host)
            return
        missing = part.missing(host)
        if missing:
            self.missing += missing
            part.do(host)
            remaining = part.missing(host)
            if remaining:
                raise AttachmentWrong.of(remaining, "DEL and ADD it again")

    def failed(self, error: Exception) -> None:
        failure = reported(error)
        if self.error is None:
            self.error = failure
        else:
            self.error.also(failure)
