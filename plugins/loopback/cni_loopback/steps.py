"""What loopback changes of the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from linkspan.call.transaction import Undo, attempt, keep

if TYPE_CHECKING:
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True)
class SetUp:
    """Set the container's lo up; the kernel gives it its addresses."""

    netns: str

    def do(self, host: Host) -> Undo:
        links = host.links(self.netns)
        lo = links.get("lo")
        if lo is not None and lo.up:
            return keep
        return attempt(host, lambda: links.change("lo", up=True), lambda: links.change("lo", up=False))
