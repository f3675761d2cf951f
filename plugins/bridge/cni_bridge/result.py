"""What was made, as a result. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cni_bridge.config import Config
from cni_bridge.plan import Layout
from linkspan.cni.model import Interface, Result
from linkspan.host.contract import Link

if TYPE_CHECKING:
    from linkspan.cni.model import Request


def result_of(request: Request, config: Config, layout: Layout, links: tuple[Link, Link, Link]) -> Result:
    """What came before us, then the bridge, the host's end, the container's end, which has the addresses (SPEC 1.1.0, section 5)."""
    bridge, outside, inside = links
    before = request.prev_result or Result()
    own = len(before.interfaces) + 2
    return replace(
        before,
        interfaces=(
            *before.interfaces,
            Interface(name=bridge.name, mac=bridge.mac),
            Interface(name=outside.name, mac=outside.mac, mtu=outside.mtu),
            Interface(name=inside.name, mac=inside.mac, mtu=inside.mtu, sandbox=request.netns),
        ),
        ips=(*before.ips, *(replace(each, interface=own) for each in layout.addresses)),
        routes=(*before.routes, *layout.routes),
        dns=config.dns or layout.dns or before.dns,
    )
