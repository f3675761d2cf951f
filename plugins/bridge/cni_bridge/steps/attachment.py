"""Removing what an attachment's record names."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cni_bridge import NAME
from cni_bridge.steps.frame_filter import remove_filter
from cni_bridge.steps.pair import remove_pair
from linkspan.call.records import Records
from linkspan.call.transaction import Undo, best_effort
from linkspan.steps import lost, masquerade
from linkspan.steps.closing import reopen
from linkspan.steps.forwarding import replace_rule_of_earlier_versions

if TYPE_CHECKING:
    from cni_bridge.facts import Record
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host


def remove(host: Host, attachment: Attachment, record: Record | None) -> None:
    """Remove the pair and its packet rules, but not the record. Absent objects are fine.

    Of an attachment whose record is lost the masquerading is found by its comments.
    """
    removals: list[Undo] = [partial(remove_pair, host, attachment, recorded=record is not None)]
    if record is None and lost.is_possible(host):
        removals.append(partial(masquerade.remove, host, attachment))
        removals.append(partial(remove_filter, host, attachment))
    if record is not None and record.backend is not None:
        removals.append(
            partial(masquerade.remove, host, attachment, record.addresses, backend=record.backend)
        )
    if record is not None and record.is_filtered:
        removals.append(partial(remove_filter, host, attachment))
    if record is not None and record.forwards:
        if record.isolated:
            removals.append(partial(reopen, host, record.bridge, record.forwards))
        elif record.isolated is None:
            removals.append(partial(replace_rule_of_earlier_versions, host, record.forwards))
    best_effort(*removals)


def forget(host: Host, attachment: Attachment, record: Record | None = None) -> None:
    """Remove everything, then the record."""
    remove(host, attachment, record)
    Records(host, NAME).remove(attachment)
