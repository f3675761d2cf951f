"""What ADD answers: prevResult with our server and search domain. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cni_dns.config import previous

if TYPE_CHECKING:
    from cni_dns.config import Config
    from cni_dns.facts import Facts
    from linkspan.cni.model import Request, Result


def result_of(request: Request, config: Config, facts: Facts) -> Result:
    """The result of the plugins before, with our servers in front of theirs, and our search domain behind."""
    result = previous(request)
    search = (*result.dns.search, config.search) if config.search else result.dns.search
    dns = replace(
        result.dns,
        nameservers=tuple(dict.fromkeys((*facts.listen, *result.dns.nameservers))),
        search=tuple(dict.fromkeys(search)),
    )
    return replace(result, dns=dns)
