"""What an attachment can do without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from linkspan.call.transaction import Undo, keep
from linkspan.cni.errors import CniError

if TYPE_CHECKING:
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True)
class Warn:
    """Write one line to the caller's stderr, once all steps before it are done."""

    message: str

    def do(self, host: Host) -> Undo:
        host.warn(self.message)
        return keep


def optional(host: Host, consequence: str, action: Callable[[], object]) -> None:
    """Do something optional. If the host refuses it, the call goes on, with the warning "<consequence>:
    <why>".

    Only errors that the host reports are tolerated; any other exception is a fault in linkspan and passes.
    """
    try:
        action()
    except CniError as error:
        host.warn(f"{consequence}: {error.msg}")
