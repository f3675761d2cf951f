"""Queries to a registry of the name server, and its replies as dnspython reads them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dns.message
import dns.rcode

from cni_dns.server.resolve import Forwarded, fast_path, slow_path
from cni_dns.server.zone import Entry, Registry
from linkspan.cni.model import Attachment

GATEWAY, OTHER_GATEWAY = "10.5.0.1", "10.6.0.1"
#: Where queries arrive.
HERE, THERE = ("br0", GATEWAY), ("br1", OTHER_GATEWAY)
WEB = Entry(
    attachment=Attachment("net", "web", "eth0"),
    bridge="br0",
    link="veth1",
    names=("web", "www"),
    addresses=("10.5.0.2/24", "fd00:5::2/64"),
    listen=(GATEWAY,),
    domains=("net",),
    ttl=7,
)
DB = replace(WEB, attachment=Attachment("net", "db", "eth0"), names=("db",), addresses=("10.5.0.3/24",))
FAR = replace(
    WEB,
    attachment=Attachment("far", "far", "eth0"),
    bridge="br1",
    names=("far",),
    addresses=("10.6.0.2/24",),
    listen=(OTHER_GATEWAY,),
    domains=("far",),
)
BOTH = replace(FAR, attachment=Attachment("far", "db", "eth1"), names=("db",), addresses=("10.6.0.3/24",))


def registry() -> Registry:
    """A registry with WEB, DB and FAR."""
    made = Registry()
    for entry in (WEB, DB, FAR):
        made.put(entry)
    return made


def ask(
    registry: Registry,
    name: str,
    kind: str = "A",
    *,
    source: str = "10.5.0.3",
    listener: tuple[str, str] = HERE,
    edns: bool = False,
    slow: bool = False,
    tcp: bool = False,
) -> dns.message.Message | Forwarded | None:
    """The reply to a query as dnspython reads it, or the decision to ask elsewhere."""
    query = dns.message.make_query(name, kind, use_edns=0 if edns else -1)
    wire, view = query.to_wire(), registry.view(listener, source)
    said: Any = None if slow or view is None else fast_path(wire, view)
    if said is None:
        said = slow_path(wire, view, tcp=tcp)
    if isinstance(said, bytes):
        reply = dns.message.from_wire(said)
        assert query.is_response(reply)
        return reply
    return said  # type: ignore[no-any-return]


def found(registry: Registry, name: str, kind: str = "A", **more: Any) -> set[str]:
    reply = ask(registry, name, kind, **more)
    assert isinstance(reply, dns.message.Message)
    return {str(record) for rrset in reply.answer for record in rrset}


def rcode(registry: Registry, name: str, kind: str = "A", **more: Any) -> str:
    reply = ask(registry, name, kind, **more)
    assert isinstance(reply, dns.message.Message)
    return dns.rcode.to_text(reply.rcode())
