"""What an attachment is to be called, decided from the request alone. Pure."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from cni_dns.names import names_of
from cni_dns.server.zone import Entry
from linkspan.cni.errors import InvalidConfig
from linkspan.cni.versions import at_least

if TYPE_CHECKING:
    from cni_dns.config import Config
    from linkspan.cni.model import Request, Result


def entry_for(request: Request, config: Config, bundle: str, local: frozenset[str]) -> Entry:
    """The entry of an ADD. `bundle` is the name from the OCI bundle, `local` the gateways that are the host's own.

    Raises InvalidConfig for names that are none and for a prevResult without interfaces.
    """
    result = previous(request)
    host_side = result.host_side()
    return Entry(
        attachment=request.attachment,
        bridge=host_side[0].name if len(host_side) > 1 else "",
        link=_link(request, result),
        names=names_of(request.container_id, request.netns, request.args, config.aliases, bundle),
        addresses=tuple(each.address for each in result.addresses_of(request.ifname)),
        listen=tuple(each for each in gateways(request) if each in local),
        domains=config.domains,
        forward=any(each.is_default for each in result.routes) if config.forward is None else config.forward,
        upstreams=config.upstreams,
        ttl=config.ttl,
    )


def previous(request: Request) -> Result:
    """prevResult, which must name interfaces from CNI 0.3.0 on. Raises InvalidConfig."""
    result = request.prev_result
    if result is None or (not result.interfaces and at_least(request.cni_version, "0.3.0")):
        raise InvalidConfig(
            "$.prevResult.interfaces: the list is empty",
            "list dns after a plugin that makes an interface, such as bridge",
        )
    return result


def gateways(request: Request) -> tuple[str, ...]:
    """The gateway addresses of the attachment; link-local ones, which need a zone in resolv.conf, are left out."""
    found = (
        ip_address(each.gateway) for each in previous(request).addresses_of(request.ifname) if each.gateway
    )
    return tuple(
        dict.fromkeys(str(each) for each in found if not each.is_link_local and not each.is_unspecified)
    )


def _link(request: Request, result: Result) -> str:
    """The host-side link that lives as long as the attachment: our veth, else the last of several, else none."""
    names = [each.name for each in result.host_side()]
    if request.attachment.host_veth in names:
        return request.attachment.host_veth
    return names[-1] if len(names) > 1 else ""
