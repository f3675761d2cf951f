"""What another implementation attached and DEL removes: a host may change over while containers run.

Its link is found by prevResult, its rules by the reference's name for their chain or by its comment.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha512
from typing import TYPE_CHECKING

from cni_bridge import NAME
from cni_bridge.config import bridge_name
from linkspan.call.records import Records
from linkspan.call.transaction import best_effort
from linkspan.cni.model import FIRST_IFNAME
from linkspan.steps import masquerade

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment, Request
    from linkspan.host.contract import Host, Link, Links

#: The table and chain of the reference's masquerading by nftables.
REFERENCE_RULES = ("inet cni_plugins_masquerade", "masq_checks")


def reported_host_end(request: Request, links: Links) -> Link | None:
    """The port of our bridge that prevResult names, if it is a veth with the MAC address reported there."""
    bridge = links.get(bridge_name(request))
    reported = request.prev_result.host_side() if request.prev_result is not None else ()
    for each in reported:
        link = links.get(each.name)
        is_port = link is not None and bridge is not None and link.master == bridge.index
        if link is not None and is_port and link.kind == "veth" and link.mac == each.mac.lower():
            return link
    return None


def remove_pair(request: Request, host: Host) -> None:
    """Delete the pair that prevResult reports, unless its names now belong to other links."""
    links = host.links()
    end = reported_host_end(request, links)
    if end is not None:
        links.delete(end.name)


def remove_masquerade(request: Request, host: Host) -> None:
    """Remove the rules for an attachment that we have no record of, the reference's and our own, in any
    backend.
    """
    if request.config.get("ipMasq") is not True:
        return
    backend = request.config.get("ipMasqBackend")
    best_effort(
        lambda: _remove_chain(request, host) if backend != "nftables" else None,
        lambda: _remove_rules(request.attachment, host) if backend != "iptables" else None,
        lambda: _remove_elements(request, host) if backend != "iptables" else None,
    )


def rules_comment(attachment: Attachment) -> str:
    """How the reference's comment on its nftables rules for an attachment begins."""
    network, interface = attachment.network, f"{attachment.ifname}:{attachment.container_id}"
    return "-".join(sha512(each.encode()).hexdigest()[:16] for each in (network, interface)) + ", "


def _remove_chain(request: Request, host: Host) -> None:
    """All interfaces of a container on a network share it: it stays while we have a record of the first."""
    first = replace(request.attachment, ifname=FIRST_IFNAME)
    if Records(host, NAME).read(first) is None:
        masquerade.remove(host, first, _addresses(request), backend="iptables")


def _remove_rules(attachment: Attachment, host: Host) -> None:
    begins = f'comment "{rules_comment(attachment)}'
    if host.nftables.usable():
        host.nftables.delete_rules(*REFERENCE_RULES, lambda rule: begins in rule)


def _remove_elements(request: Request, host: Host) -> None:
    masquerade.remove(host, request.attachment, _addresses(request), backend="nftables")


def _addresses(request: Request) -> tuple[str, ...] | None:
    """The container's addresses (CIDR), None if they are not known."""
    if request.prev_result is None:
        return None
    return tuple(each.address for each in request.prev_result.addresses_of(request.ifname)) or None
