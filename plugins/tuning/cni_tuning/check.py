"""What CHECK finds wrong. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cni_tuning.config import Attributes, Config
from cni_tuning.facts import values_of
from linkspan.cni.model import Result

if TYPE_CHECKING:
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host, Link, Links


def problems(request: Request, config: Config, host: Host) -> list[str]:
    """Sysctls and properties that are not as configured, nor as a later plugin says in prevResult."""
    if not config.sysctls and not config.attributes:
        return []
    links = host.links(request.netns)
    link = links.get(request.ifname)
    if link is None:
        return [f"the interface {request.ifname} is missing in the container"]
    return [*_sysctl_problems(links, config), *_attribute_problems(request, config, link)]


def _sysctl_problems(links: Links, config: Config) -> Iterator[str]:
    """The kernel prints several numbers with tabs between them, however they were written."""
    for each in config.sysctls:
        present = links.sysctl(each.path)
        if present is None:
            yield f"the sysctl {each.key} is missing in the container"
        elif present.split() != each.value.split():
            yield f"the sysctl {each.key} is {present!r}, not {each.value!r}"


def _attribute_problems(request: Request, config: Config, link: Link) -> Iterator[str]:
    present = values_of(link, config.attributes)
    later = _reported(request)
    for name, configured in config.attributes.given():
        value = getattr(present, name)
        if name == "promisc" and link.promiscuity:
            continue
        if value not in (configured, getattr(later, name)):
            yield f"{name} of {request.ifname} is {value}, not {configured}"


def _reported(request: Request) -> Attributes:
    """What the chain's result reports of the interface: a plugin listed later may have changed it again."""
    interface = (request.prev_result or Result()).interface_of(request.ifname)
    return Attributes(mac=interface.mac.lower() or None, mtu=interface.mtu) if interface else Attributes()
