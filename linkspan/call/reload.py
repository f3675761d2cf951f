"""Building every packet rule again that our records tell of: after somebody flushed iptables or the nftables
ruleset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from linkspan.call.plugin import MODULES
from linkspan.call.records import Records
from linkspan.call.transaction import best_effort

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host

Reload = Callable[["Host"], None]


def reload(host: Host) -> tuple[str, ...]:
    """Have every plugin that makes rules build those of its living attachments again; the types of those
    plugins.

    What stands already stays as it is, so repeating it changes nothing. A plugin that fails does not keep the
    others from theirs: the first failure is raised at the end, with the others in its details.
    """
    plugins = tuple(_plugins())
    best_effort(*(partial(each, host) for _, each in plugins))
    return tuple(name for name, _ in plugins)


def rebuild_each(host: Host, plugin: str, rebuild: Callable[[Attachment, Mapping[str, Any]], None]) -> None:
    """Call `rebuild` for every record of a plugin, as it is once the attachment's lock is ours.

    Without the lock a DEL could take the rules away before we make them, and nobody would ever do so again.
    """
    records = Records(host, plugin)

    def locked(attachment: Attachment) -> None:
        with host.files.lock_attachment(plugin, attachment):
            record = records.read(attachment)
            if record is not None:
                rebuild(attachment, record)

    best_effort(*(partial(locked, attachment) for attachment, _ in records.all()))


def _plugins() -> Iterator[tuple[str, Reload]]:
    """The plugins whose module has a function `reload`."""
    for name, module in MODULES.items():
        found: Reload | None = getattr(import_module(module), "reload", None)
        if found is not None:
            yield name, found
