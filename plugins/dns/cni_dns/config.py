"""What the configuration and prevResult ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from cni_dns.server.names import RULE, is_name, normalized, not_a_name
from linkspan.cni.errors import InvalidConfig, shortened
from linkspan.cni.model import strings
from linkspan.cni.versions import at_least

if TYPE_CHECKING:
    from linkspan.cni.model import Request, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A configuration of dns, checked.

    `search` is the search domain of the result, "" for none; `domains` are those below which names are
    answered. `forward` None means: if the container has a default route. `ttl` is in seconds.
    """

    search: str
    domains: tuple[str, ...]
    aliases: tuple[str, ...]
    upstreams: tuple[str, ...]
    forward: bool | None
    ttl: int

    @classmethod
    def from_request(cls, request: Request) -> Config:
        """The configuration of a call whose document the schema has passed. Raises InvalidConfig."""
        config = request.config
        domain = str(config.get("domainName") or "")
        own = normalized(domain)
        if domain and not own:
            raise InvalidConfig(not_a_name(domain, "$.domainName"), RULE)
        network = request.network.lower()
        domains = tuple(each for each in (network, own) if each and is_name(each))
        return cls(
            search=domain.rstrip(".") or (request.network if is_name(network) else ""),
            domains=tuple(dict.fromkeys(domains)),
            aliases=aliases_for(request.network, request.runtime_config.get("aliases")),
            upstreams=tuple(_server(i, each) for i, each in enumerate(strings(config.get("upstreams")))),
            forward=config.get("forward"),
            ttl=int(config.get("ttl", 0)),
        )


def aliases_for(network: str, value: Any) -> tuple[str, ...]:
    """The aliases for a network: the list itself, or the network's entry of a map."""
    if isinstance(value, Mapping):
        value = value.get(network)
    return tuple(value or ())


def previous(request: Request) -> Result:
    """prevResult, which must name interfaces from CNI 0.3.0 on. Raises InvalidConfig."""
    result = request.prev_result
    if result is None or (not result.interfaces and at_least(request.cni_version, "0.3.0")):
        raise InvalidConfig(
            "$.prevResult.interfaces: the list is empty",
            "list dns after a plugin that creates an interface, such as bridge",
        )
    return result


def gateways(request: Request) -> tuple[str, ...]:
    """The gateway addresses of the attachment, but no link-local ones: they need a zone in resolv.conf.

    Raises InvalidConfig.
    """
    found = (
        ip_address(each.gateway) for each in previous(request).addresses_of(request.ifname) if each.gateway
    )
    return tuple(
        dict.fromkeys(str(each) for each in found if not each.is_link_local and not each.is_unspecified)
    )


def _server(index: int, text: str) -> str:
    """An upstream server's address; unlike other addresses it may have a zone."""
    try:
        return str(ip_address(text))
    except ValueError:
        raise InvalidConfig(
            f"$.upstreams[{index}]: {shortened(text)!r} is not an IP address",
            "an IPv4 or IPv6 address of a DNS server, without port",
        ) from None
