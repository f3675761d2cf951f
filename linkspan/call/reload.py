"""Restoring what the records list and the host no longer has, such as packet rules that were flushed or a
bridge that was deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from linkspan.call.plugin import MODULES, load
from linkspan.call.restoring import EVERYTHING, Restored, Scope, reported, restored

if TYPE_CHECKING:
    from linkspan.cni.addresses import Family
    from linkspan.host.contract import Host, Iptables
    from linkspan.netfilter.rules import Change


def reload(host: Host, scope: Scope = EVERYTHING) -> tuple[Restored, ...]:
    """Have every plugin restore what its records name; what protects the host comes first.

    The answer has the attachments of which something was missing. An error with one does not keep the others
    from being restored.
    """
    host = cast("Host", _ReadOnce(host))
    plugins = [each for each in map(load, MODULES) if each.reload is not None or each.guard is not None]
    found = [restored(host, each.type, None, partial(each.guard, host)) for each in plugins if each.guard]
    for each in plugins:
        if each.reload is not None:
            found += _of_plugin(each.type, partial(each.reload, host, scope))
    return tuple(each for each in found if each.missing or each.noticed or each.error)


def _of_plugin(plugin: str, reload_: Callable[[], Iterable[Restored]]) -> list[Restored]:
    """What a plugin restores, and the error that ends it."""
    found: list[Restored] = []
    try:
        found.extend(reload_())
    except Exception as error:
        found.append(Restored(plugin=plugin, attachment=None, error=reported(error)))
    return found


class _ReadOnce:
    """A host whose tables of iptables are read once until one is changed: a program each, for every
    attachment.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self.iptables = _Tables(host)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)


class _Tables:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._read: dict[tuple[Family, str], Mapping[str, tuple[str, ...]]] = {}

    @property
    def _real(self) -> Iptables:
        return self._host.iptables

    def rules(self, family: Family, table: str) -> Mapping[str, tuple[str, ...]]:
        if (family, table) not in self._read:
            self._read[family, table] = self._real.rules(family, table)
        return self._read[family, table]

    def apply(self, family: Family, table: str, change: Change) -> None:
        self._read.clear()
        self._real.apply(family, table, change)

    def apply_all(self, family: Family, changes: Mapping[str, Change]) -> None:
        self._read.clear()
        self._real.apply_all(family, changes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)
