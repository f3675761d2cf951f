"""What ADD answers. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cni_tuning.attributes import Attributes
    from linkspan.cni.model import Interface, Result


def with_changes(result: Result, ifname: str, changed: Attributes) -> Result:
    """The result with the new MAC and MTU on the container's interface; a link of that name on the host is another."""
    return replace(result, interfaces=tuple(_changed(each, ifname, changed) for each in result.interfaces))


def _changed(interface: Interface, ifname: str, changed: Attributes) -> Interface:
    if interface.name != ifname or not interface.sandbox:
        return interface
    mtu = interface.mtu if changed.mtu is None else changed.mtu
    return replace(interface, mac=changed.mac or interface.mac, mtu=mtu)
