"""Hairpin mode and isolation of a bridge port, which depend on whether bridged packets traverse iptables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from linkspan.call.transaction import Undo, attempt, keep
from linkspan.cni.errors import KernelRefused

if TYPE_CHECKING:
    from linkspan.host.contract import Host, Link, Links

#: A sysctl of the module br_netfilter: absent without the module.
_CALL_IPTABLES = "bridge/bridge-nf-call-iptables"


@dataclass(frozen=True, slots=True)
class EnableHairpin:
    """Let the bridge send frames back out of the port that they came in by (`hairpin_mode`)."""

    port: str

    def do(self, host: Host) -> Undo:
        change = partial(host.links().change_port, self.port, hairpin=True)
        return attempt(host, change, partial(disable_hairpin, host, self.port))


@dataclass(frozen=True, slots=True)
class IsolatePort:
    """Have the bridge drop frames between this and other isolated ports, unless `filters_bridged`."""

    port: str

    def do(self, host: Host) -> Undo:
        if not self.missing(host):
            return keep
        change = partial(host.links().change_port, self.port)
        return attempt(host, partial(change, isolated=True), partial(change, isolated=False))

    def missing(self, host: Host) -> list[str]:
        """Whether the port is not isolated but should be, as a sentence."""
        links = host.links()
        port = links.get(self.port)
        if port is None or not port.master or port.isolated or filters_bridged(links):
            return []
        return [f"the bridge port {self.port} is not isolated"]


def filters_bridged(links: Links) -> bool:
    """Whether packets that are bridged, not routed, traverse iptables too (br_netfilter)."""
    return links.sysctl(_CALL_IPTABLES) not in (None, "0")


def disable_hairpin(host: Host, port: str) -> None:
    """Undo EnableHairpin; a port that no longer exists is fine."""
    links = host.links()
    if not _is_hairpin(links.get(port)):
        return
    try:
        links.change_port(port, hairpin=False)
    except KernelRefused:
        # The kernel may have deleted a dead container's link since we read it.
        if _is_hairpin(links.get(port)):
            raise


def _is_hairpin(link: Link | None) -> bool:
    return link is not None and bool(link.master) and link.hairpin
