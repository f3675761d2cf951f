"""Sockets of the host that listen on a port we publish: theirs is the port no more. Format: proc_net_tcp.txt of the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni_portmap.publication import Publication

if TYPE_CHECKING:
    from linkspan.host.contract import Host

#: the state, in /proc/net, of a socket that waits for anybody: TCP_LISTEN, and TCP_CLOSE for udp
_WAITING = {"tcp": "0A", "udp": "07"}


def warn_of_listeners(host: Host, publication: Publication) -> None:
    """Tell the caller, in one line, of published ports on which a process of the host listens too."""
    found = [
        f"{port}/{protocol}"
        for protocol in _WAITING
        for port in _listening(host, protocol, _ports(publication, protocol))
    ]
    if found:
        host.warn(
            f"portmap: a process of the host listens on {', '.join(found)}; connections now go to container "
            f"{publication.attachment.container_id}"
        )


def _ports(publication: Publication, protocol: str) -> list[int]:
    return sorted({each.host_port for each in publication.all_entries() if each.protocol == protocol})


def _listening(host: Host, protocol: str, ports: list[int]) -> list[int]:
    if not ports:
        return []
    tables = [host.files.read(f"/proc/thread-self/net/{protocol}{six}") or b"" for six in ("", "6")]
    return [port for port in ports if any(_listens(table, protocol, port) for table in tables)]


def _listens(table: bytes, protocol: str, port: int) -> bool:
    """A line has local address:port, remote address:port, state; one that waits has no remote port."""
    state = _WAITING[protocol]
    return any(f":{port:04X} {nobody}:0000 {state} ".encode() in table for nobody in ("0" * 8, "0" * 32))
