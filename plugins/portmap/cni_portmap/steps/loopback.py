"""127.0.0.1 and ::1 of the host leading to a container: routed by the kernel, or relayed by a process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from linkspan import paths
from linkspan.call.records import discard
from linkspan.call.transaction import Plan, Undo, best_effort, carry_out, keep
from linkspan.steps import lost
from linkspan.steps.extras import optional
from linkspan.steps.relay import relay

if TYPE_CHECKING:
    from cni_portmap.facts import Publication
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True)
class RouteLoopback:
    """Let the kernel route the host's 127.0.0.1 to a bridge; the rules before this step guard it.

    Undone by `stop_routing`, when the last attachment that needs it is withdrawn.
    """

    interface: str

    def do(self, host: Host) -> Undo:
        consequence = "portmap: 127.0.0.1 does not reach the container"
        optional(host, consequence, partial(host.links().set_sysctl, _sysctl(self.interface), "1"))
        return keep

    def missing(self, host: Host) -> list[str]:
        """Whether 127.0.0.1 is not routed to it, as a sentence."""
        if is_routed(host, self.interface):
            return []
        return [f"127.0.0.1 is not routed to {self.interface}"]


@dataclass(frozen=True, slots=True)
class Relay:
    """Have a publication's ports of loopback addresses relayed, and carry out `then` with those that are.

    A port that was published on one loopback address and is not relayed is a warning: this host does not have
    the address.
    """

    publication: Publication
    then: Callable[[Publication], Plan]

    def do(self, host: Host) -> Undo:
        attachment = self.publication.attachment
        expected = self.publication.relayed_ports()
        relayed = relay(host, attachment, expected)
        keys = {each.key for each in relayed}
        for each in expected:
            if each.host_ip and each.key not in keys:
                host.warn(f"portmap: nothing is published on {each.host_ip}: this host does not have it")
        return carry_out(self.then(replace(self.publication, relayed=relayed)), host)


def need_routing(host: Host, publication: Publication) -> None:
    """Note, before there are rules for it, that 127.0.0.1 must be routed. Under the lock of the claims.

    If it is routed already, and no attachment of ours needs that, it is somebody else's: it stays. Who
    needs it is not known after our state was removed.
    """
    folder = paths.routed_loopback(host.state_dir, publication.interface)
    is_ours = host.files.names(folder) or lost.is_possible(host)
    if is_ours or not is_routed(host, publication.interface):
        host.files.write(f"{folder}/{publication.attachment.key}", b"")


def is_routed(host: Host, interface: str) -> bool:
    """Whether 127.0.0.1 is routed to an interface."""
    return host.links().sysctl(_sysctl(interface)) == "1"


def stop_relaying(host: Host, attachment: Attachment) -> None:
    """Relay nothing more for an attachment; a process that does not reply is a warning."""
    optional(host, "portmap: its ports may still be relayed", partial(relay, host, attachment, ()))


def stop_routing(host: Host, attachment: Attachment) -> None:
    """Route 127.0.0.1 no longer where only this attachment needs it. Under the lock of the claims.

    The guard stays until the bridge is removed, like every rule that a bridge's containers share: while
    nothing is routed it drops only what the kernel drops too.
    """
    best_effort(
        *(
            partial(_end_need, host, interface, attachment)
            for interface in host.files.names(paths.routed_loopback(host.state_dir))
        )
    )


def _end_need(host: Host, interface: str, attachment: Attachment) -> None:
    folder = paths.routed_loopback(host.state_dir, interface)
    names = host.files.names(folder)
    if attachment.key not in names:
        return
    if len(names) == 1 and host.links().sysctl(_sysctl(interface)) not in (None, "0"):
        host.links().set_sysctl(_sysctl(interface), "0")
    discard(host.files, f"{folder}/{attachment.key}")
    host.files.remove_folder(folder)


def _sysctl(interface: str) -> str:
    return f"ipv4/conf/{interface}/route_localnet"
