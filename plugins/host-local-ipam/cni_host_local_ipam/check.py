"""What CHECK finds wrong. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni_host_local_ipam.leases.files import FileLeases
from linkspan.cni.addresses import parse_ip

if TYPE_CHECKING:
    from cni_host_local_ipam.config import Config
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host


def problems(request: Request, config: Config, host: Host) -> list[str]:
    """Addresses of prevResult that lie in these ranges and are not leased to the attachment."""
    held = _held(request, config, host)
    if not held:
        return [f"host-local: {request.attachment} has no lease"]
    stated = (parse_ip(each.ip) for each in (request.prev_result.ips if request.prev_result else ()))
    return [
        f"host-local: {ip} is not leased to container {request.attachment.short_id}"
        for ip in stated
        if ip is not None and any(ip in one for one in config.sets) and ip not in held
    ]


def _held(request: Request, config: Config, host: Host) -> frozenset[object]:
    """The addresses that the attachment holds. A directory that does not exist is not created."""
    leases = FileLeases(host, config.folder)
    if not leases.exists():
        return frozenset()
    with leases.locked():
        return frozenset(leases.held_by(request.attachment))
