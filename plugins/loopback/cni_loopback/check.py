"""What CHECK finds wrong. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host


def problems(request: Request, host: Host) -> list[str]:
    """Whether lo is down."""
    lo = host.links(request.netns).get("lo")
    return [] if lo is not None and lo.up else ["the container's lo is down"]
