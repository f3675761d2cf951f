"""What a plugin is: a name, a schema, and five verbs.

All verbs are required, so that nobody forgets one. They take a request and a host, ADD also the transaction
that undoes it after any exception, and return values: no printing, no exit, no environment, no working
directory, no caches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linkspan.call.restoring import Part, Restored, Scope
    from linkspan.call.transaction import Transaction
    from linkspan.cni.model import Attachment, Request, Result
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """The contract between a plugin's package and everything that runs it.

    Plugins that keep something for a network beyond its attachments also have `remove_shared`, which removes
    it. It takes a GC of that network, which then has no attachments, and the name of its bridge, "" if it has
    none.

    `chained` plugins refuse an ADD or CHECK without prevResult. `schema` is the path of the plugin's
    schema.json. `after` is called after an ADD or DEL that has succeeded, outside its lock.

    Plugins that make something on the host also have `reload`, which restores what is incomplete of the
    attachments in a scope. `guard` names what protects the host and is restored before anything else.
    `unrecorded` names the attachments that the kernel has and that have no record, `forget`
    removes all that is left of one, and `adopt` writes the record of one that lives, from what ADD was
    asked and answered.

    `program` is the Python file of the long-lived process that works for the plugin's records, "" if none
    does.
    """

    type: str
    schema: str
    add: Callable[[Request, Host, Transaction], Result]
    delete: Callable[[Request, Host], None]
    check: Callable[[Request, Host], None]
    gc: Callable[[Request, Host], None]
    status: Callable[[Request, Host], None]
    chained: bool = False
    after: Callable[[Request, Host], None] | None = None
    remove_shared: Callable[[Request, Host, str], None] | None = None
    reload: Callable[[Host, Scope], Iterable[Restored]] | None = None
    guard: Callable[[Host], Iterable[Part]] | None = None
    unrecorded: Callable[[Host], tuple[Attachment, ...]] | None = None
    forget: Callable[[Host, Attachment], None] | None = None
    adopt: Callable[[Request, Host], None] | None = None
    program: str = ""


#: CNI type -> the module whose PLUGIN answers for it. Aliases are further names of the same executable.
MODULES = {
    "bridge": "cni_bridge.verbs",
    "dns": "cni_dns.verbs",
    "firewall": "cni_firewall.verbs",
    "host-local": "cni_host_local_ipam.verbs",
    "loopback": "cni_loopback.verbs",
    "portmap": "cni_portmap.verbs",
    "tuning": "cni_tuning.verbs",
}
ALIASES = {"dnsname": "dns", "host-local-ipam": "host-local"}


def load(cni_type: str) -> Plugin:
    """The plugin that answers for `cni_type` (an alias counts).

    Raises KeyError for a type that is not ours.
    """
    from importlib import import_module

    plugin: Plugin = import_module(MODULES[ALIASES.get(cni_type, cni_type)]).PLUGIN
    return plugin
