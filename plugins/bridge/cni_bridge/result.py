"""What ADD answers. Pure."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_interface
from typing import TYPE_CHECKING

from linkspan.cni.model import Interface, Result

if TYPE_CHECKING:
    from cni_bridge.config import Config
    from cni_bridge.facts import Created
    from cni_bridge.plan import Layout
    from linkspan.cni.model import Request


def result_of(request: Request, config: Config, layout: Layout, created: Created) -> Result:
    """What was created, after what prevResult has (SPEC 1.1.0, section 5).

    That is the bridge, the host end, and the container's interface, which has the addresses. Those of a
    loopback interface come last: many take the first address for the container's.
    """
    before = request.prev_result or Result()
    own = len(before.interfaces) + 2
    bridge, host_end, interface = created.bridge, created.host_end, created.interface
    loopback = tuple(each for each in before.ips if ip_interface(each.address).is_loopback)
    earlier = tuple(each for each in before.ips if each not in loopback)
    return replace(
        before,
        interfaces=(
            *before.interfaces,
            Interface(name=bridge.name, mac=bridge.mac),
            Interface(name=host_end.name, mac=host_end.mac, mtu=host_end.mtu),
            Interface(name=interface.name, mac=interface.mac, mtu=interface.mtu, sandbox=request.netns),
        ),
        ips=(*earlier, *(replace(each, interface=own) for each in layout.addresses), *loopback),
        routes=(*before.routes, *layout.routes),
        dns=config.dns or layout.dns or before.dns,
    )
