"""What another implementation attached and ours is asked to take back: hosts change over while containers run.

The other's link is known by prevResult, its rules by the reference's name for their chain or by its comment.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha512
from typing import TYPE_CHECKING

from cni_bridge.config import DEFAULT_BRIDGE
from linkspan.call.transaction import best_effort
from linkspan.steps import masquerade

if TYPE_CHECKING:
    from linkspan.call.records import Records
    from linkspan.cni.model import Attachment, Request
    from linkspan.host.contract import Host, Link, Links

_FIRST_IFNAME = "eth0"
#: The table and chain of the reference's masquerading by nftables.
REFERENCE_RULES = ("inet cni_plugins_masquerade", "masq_checks")


def host_end(request: Request, links: Links) -> Link | None:
    """The host's end: the link of our name, else the port of our bridge that prevResult tells with its MAC."""
    return links.get(request.attachment.host_veth) or _stated_end(request, links)


def remove_pair(request: Request, host: Host) -> None:
    """Delete the pair that prevResult tells of, unless its names mean other links by now."""
    links = host.links()
    end = _stated_end(request, links)
    if end is not None:
        links.delete(end.name)


def remove_masquerade(request: Request, host: Host, records: Records) -> None:
    """Remove what the reference makes for an attachment of which we have no record, from the back ends it may have used."""
    if request.config.get("ipMasq") is not True:
        return
    backend = request.config.get("ipMasqBackend")
    best_effort(
        lambda: _remove_chain(request, host, records) if backend != "nftables" else None,
        lambda: _remove_rules(request.attachment, host) if backend != "iptables" else None,
    )


def _remove_chain(request: Request, host: Host, records: Records) -> None:
    """It is one for all interfaces of a container on the network: it stays while we have a record of the first."""
    first = replace(request.attachment, ifname=_FIRST_IFNAME)
    if records.read(first) is None:
        masquerade.remove(host, first, _addresses(request), backend="iptables")


def _remove_rules(attachment: Attachment, host: Host) -> None:
    begins = f'comment "{rules_comment(attachment)}'
    if host.nftables.usable():
        host.nftables.delete_rules(*REFERENCE_RULES, lambda rule: begins in rule)


def rules_comment(attachment: Attachment) -> str:
    """How the reference's comment on its nftables rules for an attachment begins."""
    network, interface = attachment.network, f"{attachment.ifname}:{attachment.container_id}"
    return "-".join(sha512(each.encode()).hexdigest()[:16] for each in (network, interface)) + ", "


def _stated_end(request: Request, links: Links) -> Link | None:
    bridge = links.get(request.config.get("bridge") or DEFAULT_BRIDGE)
    stated = request.prev_result.host_side() if request.prev_result is not None else ()
    for each in stated:
        link = links.get(each.name)
        is_port = link is not None and bridge is not None and link.master == bridge.index
        if link is not None and is_port and link.kind == "veth" and link.mac == each.mac.lower():
            return link
    return None


def _addresses(request: Request) -> tuple[str, ...] | None:
    """What the container has, or None: unknown."""
    if request.prev_result is None:
        return None
    return tuple(each.address for each in request.prev_result.addresses_of(request.ifname)) or None
