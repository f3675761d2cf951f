"""resolv.conf(5) as a result's `dns`. Pure."""

from __future__ import annotations

from linkspan.cni.model import Dns


def parse_resolv_conf(text: str) -> Dns:
    """Name servers, search domains and options add up over the lines; of several `domain` lines the last counts."""
    found: dict[str, list[str]] = {"nameserver": [], "domain": [], "search": [], "options": []}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0][0] in "#;" or words[0] not in found:
            continue
        found[words[0]] += words[1:] if words[0] in ("search", "options") else words[1:2]
    return Dns(
        nameservers=tuple(found["nameserver"]),
        domain=found["domain"][-1] if found["domain"] else "",
        search=tuple(found["search"]),
        options=tuple(found["options"]),
    )
