"""What was made, as a result. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cni_bridge.config import Config
from linkspan.host.contract import Link
from linkspan.model import Address, Interface, Result, Route

if TYPE_CHECKING:
    from linkspan.model import Request


def result_of(
    request: Request,
    config: Config,
    links: tuple[Link, Link, Link],
    *,
    addresses: Sequence[Address],
    routes: Sequence[Route],
    ipam: Result,
) -> Result:
    """The bridge, the host's end, the container's end; addresses belong to the third (SPEC 1.1.0, section 5)."""
    bridge, outside, inside = links
    return Result(
        interfaces=(
            Interface(name=bridge.name, mac=bridge.mac),
            Interface(name=outside.name, mac=outside.mac, mtu=outside.mtu),
            Interface(name=inside.name, mac=inside.mac, mtu=inside.mtu, sandbox=request.netns),
        ),
        ips=tuple(replace(each, interface=2) for each in addresses),
        routes=tuple(routes),
        dns=config.dns or ipam.dns,
    )
