"""Creating a link whose name may be taken."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from linkspan.call.transaction import Transaction, Undo
from linkspan.cni.errors import KernelRefused

if TYPE_CHECKING:
    from linkspan.host.contract import Host


def create(host: Host, request: Callable[[], object], undo: Undo) -> Undo | None:
    """Request a link and return `undo`; None if a link of that name exists, which then is another's.

    Any other failure may follow the creation, as when the reply is lost: `undo` is called at once.
    """
    with Transaction(host) as transaction:
        transaction.on_failure(undo)
        try:
            request()
        except KernelRefused as error:
            if error.errno != errno.EEXIST:
                raise
            return None
    return undo
