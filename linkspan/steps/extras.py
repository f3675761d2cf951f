"""What an attachment can do without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from linkspan.call.transaction import Undo, keep
from linkspan.cni.errors import CniError

if TYPE_CHECKING:
    from linkspan.host.contract import Host

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Warn:
    """Write one line to the caller's stderr, once all steps before it are done."""

    message: str

    def do(self, host: Host) -> Undo:
        host.warn(self.message)
        return keep


def optional(host: Host, consequence: str, action: Callable[[], _T]) -> _T | None:
    """The action's answer; None and the warning "<consequence>: <why>" if the host refuses it.

    Only errors that the host reports are tolerated; any other exception is a fault in linkspan and passes.
    """
    try:
        return action()
    except CniError as error:
        host.warn(f"{consequence}: {error.msg}")
        return None
