"""Every error a caller can be told, one class for one CNI code.

    CniError
    ├── IncompatibleVersion 1     ├── UndecodableInput 6   ├── NotReady 50
    ├── UnsupportedField    2     ├── InvalidConfig    7   ├── NotReadyDegraded 51
    ├── InvalidEnvironment  4     ├── InvalidNetns     8   ├── KernelRefused  101
    ├── IoFailure           5     │   └── NetnsGone        ├── PoolExhausted  102
    │   └── NotAFile              └── TryAgain        11   ├── AttachmentWrong 103
    ├── DelegateFailed (the delegate's own code)           ├── PortTaken      104
    │                                                      ├── AlreadyAttached 105
    └── Bug 199                                            └── ToolMissing    106

Codes 1 to 99 are the specification's (SPEC 1.1.0, "Error"; 8 from its reference library), 100 and above are
ours. Code 3 (unknown container) is never used: it tells a runtime that no DEL is needed.
"""

from __future__ import annotations

from collections.abc import Sequence


class CniError(Exception):
    """What went wrong (`msg`, one sentence that stands alone in 120 characters) and what to do
    (`details`).
    """

    code = 199

    def __init__(self, msg: str, details: str = "") -> None:
        super().__init__(msg)
        self.msg = msg
        self.details = details

    def also(self, other: BaseException) -> None:
        """Add a further failure of the same call to the end of `details`."""
        text = other.msg if isinstance(other, CniError) else repr(other)
        self.details = f"{self.details}; also: {text}" if self.details else f"also: {text}"


class IncompatibleVersion(CniError):
    """The configuration asks for a CNI version, or a verb its version lacks, that we do not speak."""

    code = 1


class UnsupportedField(CniError):
    """A key or value that is legal and that we cannot carry out; the message names both."""

    code = 2


class InvalidEnvironment(CniError):
    """A CNI_* variable is missing or its value is not allowed; the message names it."""

    code = 4


class IoFailure(CniError):
    """A file could not be read or written. `errno` is the system's answer, 0 if it gave none."""

    code = 5

    def __init__(self, msg: str, details: str = "", errno: int = 0) -> None:
        super().__init__(msg, details)
        self.errno = errno

    @property
    def is_transient(self) -> bool:
        """Whether the process lacked descriptors or memory: an answer that says nothing about the file."""
        import errno

        return self.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN)


class NotAFile(IoFailure):
    """Something else stands in the place of a regular file: a directory, a symbolic link, a device."""


class UndecodableInput(CniError):
    """Standard input is not one JSON object."""

    code = 6


class InvalidConfig(CniError):
    """The configuration breaks a rule; the message has the JSON path and the value, `details` the fix."""

    code = 7


class InvalidNetns(CniError):
    """CNI_NETNS is not a network namespace, or is the one we run in."""

    code = 8


class NetnsGone(InvalidNetns):
    """CNI_NETNS is empty or names nothing: an error for ADD, an everyday thing for DEL."""


class TryAgain(CniError):
    """A passing condition; the caller may repeat the call."""

    code = 11


class NotReady(CniError):
    """STATUS: an ADD could not be served now."""

    code = 50


class NotReadyDegraded(CniError):
    """STATUS: an ADD could not be served now, and existing containers are impaired."""

    code = 51


class KernelRefused(CniError):
    """The kernel said no. `request` is what was asked, `errno` its answer."""

    code = 101

    def __init__(self, request: str, errno: int, details: str = "") -> None:
        import os

        super().__init__(f"the kernel refused to {request}: {os.strerror(errno)}", details)
        self.request = request
        self.errno = errno


class PoolExhausted(CniError):
    """No address is free in a range set."""

    code = 102


class AttachmentWrong(CniError):
    """CHECK: something of the attachment is missing or differs; the message says what."""

    code = 103

    @classmethod
    def of(cls, problems: Sequence[str], remedy: str) -> AttachmentWrong:
        """The report of what CHECK found: the first problem is the message, the others and `remedy` are its
        details.
        """
        return cls(shortened(problems[0], 120), "; ".join((*problems[1:], remedy)))


class PortTaken(CniError):
    """A host port belongs to another live attachment; the message names it."""

    code = 104


class AlreadyAttached(CniError):
    """ADD for an attachment, or an interface name, that exists already."""

    code = 105


class ToolMissing(CniError):
    """A program or library of the host that this configuration needs is not there; the message names it."""

    code = 106


class DelegateFailed(CniError):
    """A delegated plugin failed; its own code, message and details are passed on."""

    def __init__(self, code: int, msg: str, details: str = "") -> None:
        super().__init__(msg, details)
        self.code = code


class Bug(CniError):
    """An unexpected exception: a fault in linkspan. `trace` is its traceback, for a log and never for
    stdout.
    """

    code = 199
    trace = ""

    @classmethod
    def of(cls, error: BaseException) -> Bug:
        """The report of an exception: its type and the place where it was raised."""
        import traceback

        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
        bug = cls(
            f"internal error in linkspan: {type(error).__name__} at {place}", f"{error}; please report it"
        )
        bug.trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        return bug


def shortened(text: str, limit: int = 40) -> str:
    """A value of a caller's as a message can show it: valid UTF-8 of at most `limit` characters."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= limit else text[: limit - 3] + "..."
