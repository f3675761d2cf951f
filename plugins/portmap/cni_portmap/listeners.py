"""Sockets of the host that listen on a port we publish: theirs is the port no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni_portmap.config import PROTOCOLS
from linkspan.cni.errors import KernelRefused

if TYPE_CHECKING:
    from cni_portmap.publication import Publication
    from linkspan.host.contract import Host


def warn_of_listeners(host: Host, publication: Publication) -> None:
    """Tell the caller, in one line, of published ports on which a process of the host listens too."""
    found = [
        f"{port}/{protocol}"
        for protocol in PROTOCOLS
        for port in _listening(host, protocol, _ports(publication, protocol))
    ]
    if found:
        host.warn(
            f"portmap: a process of the host listens on {', '.join(found)}; connections go to container "
            f"{publication.attachment.container_id}"
        )


def _ports(publication: Publication, protocol: str) -> frozenset[int]:
    return frozenset(each.host_port for each in publication.all_entries() if each.protocol == protocol)


def _listening(host: Host, protocol: str, ports: frozenset[int]) -> list[int]:
    try:
        return sorted(host.listening(protocol, ports)) if ports else []
    except KernelRefused:
        return []  # a kernel that cannot tell is no reason not to publish
