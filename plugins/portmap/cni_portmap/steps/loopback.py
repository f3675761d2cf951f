"""127.0.0.1 and ::1 of the host leading to a container: routed by the kernel, or relayed by a process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from cni_portmap import rules_iptables, rules_nftables
from linkspan import paths
from linkspan.call.records import discard, read_json
from linkspan.call.transaction import Plan, Undo, best_effort, carry_out, keep
from linkspan.netfilter.backend import NAMES
from linkspan.steps import iptables, nft_table
from linkspan.steps.extras import optional
from linkspan.steps.relay import relay

if TYPE_CHECKING:
    from cni_portmap.facts import Publication
    from linkspan.cni.addresses import Family
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host
    from linkspan.steps.iptables import Changes


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

    If it is routed already, and no attachment of ours needs that, it is somebody else's: it stays.
    """
    folder = paths.routed_loopback(host.state_dir, publication.interface)
    if host.files.names(folder) or host.links().sysctl(_sysctl(publication.interface)) != "1":
        host.files.write(f"{folder}/{publication.attachment.key}", json.dumps(publication.backend).encode())


def stop_relaying(host: Host, attachment: Attachment) -> None:
    """Relay nothing more for an attachment; a process that does not reply is a warning."""
    optional(host, "portmap: its ports may still be relayed", partial(relay, host, attachment, ()))


def stop_routing(host: Host, attachment: Attachment, removals: Mapping[Family, Changes]) -> None:
    """Route 127.0.0.1 no longer where only this attachment needs it, then remove what guarded it.

    The guards are removed in one change of iptables with `removals`. Under the lock of the claims.
    """
    routed = tuple(_routed_for(host, attachment))
    best_effort(
        partial(_switch_off, host, routed), partial(_remove_guards, host, attachment, routed, removals)
    )


@dataclass(frozen=True, slots=True)
class _Routed:
    """A bridge to which 127.0.0.1 is routed for an attachment.

    `backend` has the guard, `others` have it for other attachments; "" stands for a damaged note.
    """

    interface: str
    folder: str
    backend: str
    others: frozenset[str]


def _routed_for(host: Host, attachment: Attachment) -> Iterator[_Routed]:
    for interface in host.files.names(paths.routed_loopback(host.state_dir)):
        folder = paths.routed_loopback(host.state_dir, interface)
        names = host.files.names(folder)
        if attachment.key in names:
            others = frozenset(_backend(host, f"{folder}/{each}") for each in names if each != attachment.key)
            yield _Routed(interface, folder, _backend(host, f"{folder}/{attachment.key}"), others)


def _switch_off(host: Host, routed: Iterable[_Routed]) -> None:
    for each in routed:
        if not each.others and _is_on(host, each):
            host.links().set_sysctl(_sysctl(each.interface), "0")


def _remove_guards(
    host: Host, attachment: Attachment, routed: Iterable[_Routed], removals: Mapping[Family, Changes]
) -> None:
    """Remove the guards that nobody else needs, with `removals`, then the attachment's notes.

    The guard of a bridge whose loopback is still routed stays, with its note, for a later DEL.
    """
    ended = tuple(each for each in routed if each.others or not _is_on(host, each))
    alone = tuple(each for each in ended if each.backend not in each.others)
    guards = [rules_nftables.loopback_guard(each.interface) for each in alone if each.backend != "iptables"]
    if guards and host.nftables.usable():
        nft_table.remove(host, guards)
    in_iptables = rules_iptables.loopback_guard_removal(
        *(each.interface for each in alone if each.backend != "nftables")
    )
    iptables.remove(host, {**removals, 4: {**removals.get(4, {}), **in_iptables}})
    for each in ended:
        discard(host.files, f"{each.folder}/{attachment.key}")
        host.files.remove_folder(each.folder)


def _is_on(host: Host, routed: _Routed) -> bool:
    return host.links().sysctl(_sysctl(routed.interface)) not in (None, "0")


def _backend(host: Host, path: str) -> str:
    """The backend that has the guard of an attachment, as its note says; "" for a damaged note."""
    stated = read_json(host.files, path)
    return stated if stated in NAMES else ""


def _sysctl(interface: str) -> str:
    return f"ipv4/conf/{interface}/route_localnet"
