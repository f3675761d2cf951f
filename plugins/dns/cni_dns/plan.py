"""Which names an attachment gets, and the steps of an ADD. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cni_dns.config import previous
from cni_dns.server.names import is_name, normalized, not_a_name
from cni_dns.server.zone import Entry
from cni_dns.steps import ReservePort, ServeNames, WriteEntry, accept_queries
from linkspan.steps.extras import Warn

if TYPE_CHECKING:
    from cni_dns.config import Config
    from cni_dns.facts import Facts
    from linkspan.call.transaction import Plan
    from linkspan.cni.model import Request, Result

_HEX = re.compile(r"[0-9a-f]{12,}", re.ASCII)
_CNITOOL = re.compile(r"cnitool-[0-9a-f]{20}", re.ASCII)
_NAMED_NETNS = re.compile(r"(?:/var)?/run/netns/([^/]+)")


def plan_for(request: Request, config: Config, facts: Facts) -> Plan:
    """Record the names, make the name server reachable, and have it answer. Raises InvalidConfig."""
    entry = entry_for(request, config, facts)
    invalid = invalid_names(request.args, config.aliases, facts.bundle_name)
    return (
        WriteEntry(entry),
        ReservePort(entry.listen),
        accept_queries(entry.bridge, entry.listen),
        ServeNames(entry),
        *(Warn(f"dns: {each}; the container is not found by it") for each in invalid),
    )


def entry_for(request: Request, config: Config, facts: Facts) -> Entry:
    """The names of an attachment. Raises InvalidConfig for a prevResult without interfaces."""
    result = previous(request)
    host_side = result.host_side()
    return Entry(
        attachment=request.attachment,
        bridge=host_side[0].name if len(host_side) > 1 else "",
        link=_link(request, result),
        names=names_of(request.container_id, request.netns, request.args, config.aliases, facts.bundle_name),
        addresses=tuple(each.address for each in result.addresses_of(request.ifname)),
        listen=facts.listen,
        domains=config.domains,
        forward=any(each.is_default for each in result.routes) if config.forward is None else config.forward,
        upstreams=config.upstreams,
        ttl=config.ttl,
        device=host_side[0].name if len(host_side) == 1 else "",
    )


def _link(request: Request, result: Result) -> str:
    """The host-side link that exists as long as the attachment: our veth, else the last of several, else
    none.
    """
    names = [each.name for each in result.host_side()]
    if request.attachment.host_veth in names:
        return request.attachment.host_veth
    return names[-1] if len(names) > 1 else ""


def names_of(
    container_id: str, netns: str, args: Mapping[str, str], aliases: tuple[str, ...], bundle_name: str
) -> tuple[str, ...]:
    """All names of a container, its own first, each once: name, host name, aliases, short id.

    `args` is CNI_ARGS. Runtimes make names that are not DNS names, such as those of 64 letters and more; a
    container starts without those.
    """
    found = [normalized(text) for _, text in _given(args, bundle_name)]
    if not any(found):
        found = [_from_id(container_id, netns)]
    found += map(normalized, aliases)
    return tuple(each for each in dict.fromkeys((*found, short_id(container_id))) if each)


def invalid_names(args: Mapping[str, str], aliases: tuple[str, ...], bundle_name: str) -> list[str]:
    """Which of the given names are not DNS names, as sentences."""
    named = ((f"$.runtimeConfig.aliases[{at}]", each) for at, each in enumerate(aliases))
    given = (*_given(args, bundle_name), *named)
    return [not_a_name(text, place) for place, text in given if text and not normalized(text)]


def _given(args: Mapping[str, str], bundle_name: str) -> tuple[tuple[str, str], ...]:
    """Where a runtime names the container, and what it says there, "" for nothing."""
    return (
        ("K8S_POD_NAME in CNI_ARGS", args.get("K8S_POD_NAME", "")),
        ("the annotation nerdctl/name", bundle_name),
        ("NERDCTL_CNI_DHCP_HOSTNAME in CNI_ARGS", args.get("NERDCTL_CNI_DHCP_HOSTNAME", "")),
    )


def _from_id(container_id: str, netns: str) -> str:
    """The name in an ID: what follows containerd's namespace; for cnitool the network namespace's name."""
    named = _NAMED_NETNS.fullmatch(netns)
    if _CNITOOL.fullmatch(container_id) and named and is_name(named[1].lower()):
        return named[1].lower()
    if short_id(container_id):
        return short_id(container_id)
    part = container_id.partition("-")[2].lower()
    whole = container_id.lower()
    return next((each for each in (part, whole) if each and is_name(each)), "")


def short_id(container_id: str) -> str:
    """The first 12 digits of a hexadecimal ID, which may follow containerd's namespace, else ""."""
    part = container_id.rpartition("-")[2]
    return part[:12] if _HEX.fullmatch(part) else ""
