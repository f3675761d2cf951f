"""What ADD answers: prevResult with our server and search domain. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cni_dns.config import Config
    from cni_dns.server.zone import Entry
    from linkspan.cni.model import Result


def result_of(previous: Result, entry: Entry, config: Config) -> Result:
    """PrevResult with our servers first, what it had kept, and our search domain added once."""
    had = previous.dns
    search = (*had.search, config.search) if config.search else had.search
    dns = replace(
        had,
        nameservers=tuple(dict.fromkeys((*entry.listen, *had.nameservers))),
        search=tuple(dict.fromkeys(search)),
    )
    return replace(previous, dns=dns)
