"""Restoring every packet rule that our records name, after iptables or the nftables ruleset was flushed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from linkspan.call.exclusion import exclusively
from linkspan.call.plugin import MODULES, load
from linkspan.call.records import Records
from linkspan.call.transaction import best_effort

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host


def reload(host: Host) -> tuple[str, ...]:
    """Have every plugin that makes rules restore those of its live attachments; the types of those plugins.

    Rules that are there stay as they are, so repeating it changes nothing. A plugin that fails does not keep
    the others from theirs: the first failure is raised at the end, with the others in its details.
    """
    restoring = {each.type: each.reload for each in map(load, MODULES) if each.reload is not None}
    best_effort(*(partial(restore, host) for restore in restoring.values()))
    return tuple(restoring)


def rebuild_each(host: Host, plugin: str, rebuild: Callable[[Attachment, Mapping[str, Any]], None]) -> None:
    """Call `rebuild` for every record of a plugin, as it is once the attachment's lock is held.

    Without the lock a DEL could remove the rules before they are made, and they would stay for ever.
    """
    records = Records(host, plugin)

    def act(attachment: Attachment) -> None:
        record = records.read(attachment)
        if record is not None:
            rebuild(attachment, record)

    best_effort(*(partial(exclusively, host, plugin, each, partial(act, each)) for each, _ in records.all()))
