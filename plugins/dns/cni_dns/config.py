"""The plugin's configuration, checked for meaning; its shape is schema.json's business."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cni_dns.names import aliases_for, is_name, normalised
from linkspan.cni.errors import InvalidConfig
from linkspan.cni.model import strings

if TYPE_CHECKING:
    from linkspan.cni.model import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the plugin was told. `search` is the domain for the result; `forward` None leaves it to the routes."""

    search: str
    domains: tuple[str, ...]
    aliases: tuple[str, ...]
    upstreams: tuple[str, ...]
    forward: bool | None
    ttl: int

    @classmethod
    def from_request(cls, request: Request) -> Config:
        """The configuration of a call. Raises InvalidConfig with the JSON path."""
        config = request.config
        domain = str(config.get("domainName") or "")
        own = normalised(domain, "$.domainName") if domain else ""
        network = request.network.lower()
        domains = tuple(each for each in (network, own) if each and is_name(each))
        return cls(
            search=domain.rstrip(".") or (request.network if is_name(network) else ""),
            domains=tuple(dict.fromkeys(domains)),
            aliases=aliases_for(request.network, request.runtime_config.get("aliases")),
            upstreams=tuple(_address(i, each) for i, each in enumerate(strings(config.get("upstreams")))),
            forward=config.get("forward"),
            ttl=int(config.get("ttl", 0)),
        )


def _address(index: int, text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise InvalidConfig(
            f"$.upstreams[{index}]: {text[:40]!r} is not an IP address",
            "an IPv4 or IPv6 address of a DNS server, without port",
        ) from None
