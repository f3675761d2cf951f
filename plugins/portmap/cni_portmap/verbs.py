"""The five verbs of portmap."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cni_portmap import iptables_rules, nft_rules
from cni_portmap.config import Config
from cni_portmap.listeners import warn_of_listeners
from cni_portmap.plan import plan_for, publication_for, rules_of
from cni_portmap.publication import Publication
from cni_portmap.steps import PLUGIN as NAME
from cni_portmap.steps import recorded, unpublish_by_name, withdraw
from linkspan import nft_table
from linkspan.backend import choose
from linkspan.errors import AttachmentWrong, NotReady, ToolMissing
from linkspan.iptables_check import absent
from linkspan.model import Result
from linkspan.nft_table import FAMILIES
from linkspan.plan import Undo, best_effort, carry_out
from linkspan.plugin import Plugin
from linkspan.state import Records

if TYPE_CHECKING:
    from linkspan.host.contract import Host
    from linkspan.model import Attachment, Request


def add(request: Request, host: Host) -> Result:
    """Publish the ports that the runtime asks for; prevResult comes back unchanged."""
    result = request.prev_result or Result()
    config = Config.from_request(request)
    if not config.mappings:
        return result
    backend = choose(host, config.backend)
    config.check_backend(backend)
    publication = publication_for(request, config, backend, host)
    for address in publication.unreachable():
        host.warn(f"portmap: nothing is published on {address}: the container has no address of that family")
    carry_out(plan_for(publication), host)
    warn_of_listeners(host, publication)
    return result


def delete(request: Request, host: Host) -> None:
    """Take everything back that ADD recorded; where nothing is recorded but ports are named, what bears our names."""
    attachment = request.attachment
    if Records(host, NAME).read(attachment) is not None:
        withdraw(host, attachment)
    elif request.runtime_config.get("portMappings"):
        unpublish_by_name(host, attachment)


def check(request: Request, host: Host) -> None:
    """See that every rule of the attachment stands and leads to the address in prevResult."""
    config = Config.from_request(request)
    earlier = recorded(host, request.attachment)
    if not config.mappings and earlier is not None:
        config = earlier.config
    if not config.mappings:
        return
    backend = earlier.backend if earlier is not None else choose(host, config.backend)
    wrong = missing(host, publication_for(request, config, backend, host))
    if wrong:
        raise AttachmentWrong(wrong[0], "; ".join(wrong[1:]) or "`linkspan reload` builds the rules again")


def gc(request: Request, host: Host) -> None:
    """Withdraw what this network published for attachments that the runtime no longer knows."""
    valid = request.valid_attachments
    if valid is None:
        return
    stale = [
        attachment
        for attachment, _ in Records(host, NAME).all()
        if attachment.network == request.network and (attachment.container_id, attachment.ifname) not in valid
    ]
    best_effort(*(_withdrawal(host, attachment) for attachment in stale))


def _withdrawal(host: Host, attachment: Attachment) -> Undo:
    return lambda: withdraw(host, attachment)


def status(request: Request, host: Host) -> None:
    """Whether a port could be published now."""
    config = Config.from_request(request)
    try:
        config.check_backend(choose(host, config.backend))
    except ToolMissing as error:
        raise NotReady(error.msg, error.details) from None


def missing(host: Host, publication: Publication) -> list[str]:
    """What of a publication's rules is not there, as sentences."""
    if publication.backend == "nftables":
        return _missing_elements(host, publication)
    return [
        sentence
        for family in FAMILIES
        if publication.entries(family)
        for sentence in absent(host.iptables.rules(family, "nat"), iptables_rules.change(publication, family))
    ]


def _missing_elements(host: Host, publication: Publication) -> list[str]:
    found = nft_table.damage(host)
    for wanted in nft_rules.elements(publication):
        present = host.nftables.element(wanted.name, wanted.key)
        what = f"{' '.join(wanted.key)} in the nftables map {wanted.name}"
        if present is None:
            found.append(f"{what} is missing")
        elif present.value != wanted.value:
            found.append(f"{what} leads to {present.value}, not {wanted.value}")
    for name, rules in nft_rules.chains(publication):
        if len(host.nftables.chain(name) or ()) != len(rules):
            found.append(f"the nftables chain {name} has lost its rules")
    return found


def reload(host: Host) -> None:
    """Build the rules of every recorded attachment that lives again, whatever flushed them. Nothing comes twice."""
    publications = [
        publication
        for attachment, record in Records(host, NAME).all()
        if (publication := Publication.from_record(attachment, record)) is not None
        and (not publication.host_link or host.links().get(publication.host_link) is not None)
    ]
    best_effort(*(_rebuilding(host, publication) for publication in publications))


def _rebuilding(host: Host, publication: Publication) -> Undo:
    return lambda: carry_out(rules_of(publication), host)


PLUGIN = Plugin(
    type=NAME,
    schema=os.path.join(os.path.dirname(__file__), "schema.json"),
    add=add,
    delete=delete,
    check=check,
    gc=gc,
    status=status,
    chained=True,
)
