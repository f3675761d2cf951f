"""What loopback does to the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from linkspan.call.transaction import Undo, keep

if TYPE_CHECKING:
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True)
class SetUp:
    """The container's lo, up: the kernel gives it its addresses. Undone unless it was up before."""

    netns: str

    def do(self, host: Host) -> Undo:
        links = host.links(self.netns)
        link = links.get("lo")
        links.change("lo", up=True)
        return keep if link is not None and link.up else lambda: links.change("lo", up=False)
