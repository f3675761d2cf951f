"""Taking over: removing rules of which there is no record, of the reference plugin or of a lost state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni_firewall.config import DEFAULT_ZONE
from cni_firewall.plan import addresses_of
from cni_firewall.steps import owners
from cni_firewall.steps.withdraw import remove_unrecorded

if TYPE_CHECKING:
    from cni_firewall.config import Backend
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host


def remove_rules(request: Request, host: Host) -> None:
    """Remove the rules of the addresses in prevResult, unless another attachment owns the address."""
    addresses = addresses_of(request)
    if addresses:
        with owners.lock(host):
            remove_unrecorded(host, request.attachment, addresses, _backends(request), _zone(request))


def _backends(request: Request) -> tuple[Backend, ...]:
    """The backends that may have rules. DEL refuses no configuration: an invalid value counts as unset."""
    packets_only = request.config.get("backend") in ("iptables", "nftables")
    return ("iptables",) if packets_only else ("iptables", "firewalld")


def _zone(request: Request) -> str:
    zone = request.config.get("firewalldZone")
    return zone if zone and isinstance(zone, str) else DEFAULT_ZONE
