"""What ADD answers. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from linkspan.cni.model import Result

if TYPE_CHECKING:
    from cni_tuning.config import Attributes, Config
    from linkspan.cni.model import Interface, Request


def result_of(request: Request, config: Config) -> Result:
    """The interfaces of prevResult with the new MAC address and MTU on the container's interface.

    A link of that name on the host is another one.
    """
    result = request.prev_result or Result()
    interfaces = (_changed(each, request.ifname, config.attributes) for each in result.interfaces)
    return replace(result, interfaces=tuple(interfaces))


def _changed(interface: Interface, ifname: str, attributes: Attributes) -> Interface:
    if interface.name != ifname or not interface.sandbox:
        return interface
    mtu = interface.mtu if attributes.mtu is None else attributes.mtu
    return replace(interface, mac=attributes.mac or interface.mac, mtu=mtu)
