"""What an attachment's record names: all of it removed, or its packet rules restored."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cni_bridge import NAME
from cni_bridge.steps.frame_filter import FilterFrames, remove_filter
from cni_bridge.steps.pair import remove_pair
from linkspan.call.records import Records
from linkspan.call.transaction import Undo, best_effort
from linkspan.cni.addresses import FAMILIES, by_family
from linkspan.steps import masquerade
from linkspan.steps.closing import Close, reopen
from linkspan.steps.forwarding import accept_forwarding, replace_rule_of_earlier_versions
from linkspan.steps.isolation import Isolate
from linkspan.steps.masquerade import Masquerade

if TYPE_CHECKING:
    from cni_bridge.facts import Record
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host


def remove(host: Host, attachment: Attachment, record: Record | None) -> None:
    """Remove the pair and its packet rules, but not the record. Absent objects are fine."""
    removals: list[Undo] = [partial(remove_pair, host, attachment, recorded=record is not None)]
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


def forget(host: Host, attachment: Attachment, record: Record | None) -> None:
    """Remove everything, then the record."""
    remove(host, attachment, record)
    Records(host, NAME).remove(attachment)


def restore_rules(host: Host, attachment: Attachment, record: Record) -> None:
    """Restore the packet rules of an attachment whose host end exists. Repeating it changes nothing."""
    if host.links().get(attachment.host_veth) is None:
        return
    addresses = record.addresses or ()
    if record.backend is not None and addresses:
        Masquerade(attachment, addresses, record.backend).do(host)
    if record.internal:
        Isolate(record.bridge).do(host)
    if record.isolated:
        Close(record.forwards, record.bridge).do(host)
    elif record.isolated is None:
        replace_rule_of_earlier_versions(host, record.forwards)
    accept_forwarding(record.forwards, tuple(by_family(addresses)) or FAMILIES).do(host)
    if record.is_filtered:
        FilterFrames(attachment, record.guarded, record.bound, addresses).do(host)
