"""The contract's Namespaces in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from linkspan.host.contract import Netns
from linkspan.host.memory.links import MemoryLinks


class MemoryNamespaces:
    """Those of `paths`; a namespace whose path is gone is held by nobody. `at` finds one or raises."""

    def __init__(self, paths: Mapping[str, MemoryLinks], at: Callable[[str], MemoryLinks]) -> None:
        self._paths, self._at = paths, at
        self._seen: list[MemoryLinks] = []

    def identify(self, path: str) -> Netns:
        """See contract.Namespaces."""
        found = self._at(path)
        if found not in self._seen:
            self._seen.append(found)
        number = self._seen.index(found)
        return Netns(4026532000 + number, 100 + number)

    def is_held(self, netns: Netns, *, likely: str = "") -> bool:
        """See contract.Namespaces."""
        del likely
        return any(self.identify(path) == netns for path in self._paths)
