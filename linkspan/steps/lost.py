"""Attachments that the kernel still has and that have no record: their state was removed under us.

Elements of our nftables table, and rules of iptables, have the words of their attachment in a comment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from linkspan import paths

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment, Request
    from linkspan.host.contract import Host


def is_possible(host: Host) -> bool:
    """Whether the state directory was removed while there were attachments; the supervisor notes that."""
    return host.files.exists(paths.removed_mark(host.state_dir))


def unrecorded(
    host: Host, plugin: str, sets: Iterable[str], chains: Mapping[str, Sequence[str]]
) -> tuple[Attachment, ...]:
    """The attachments that these sets and maps of ours, or these chains of iptables (table -> chains),
    name, and that the plugin has no record of. The cost grows with the number of elements and rules.
    """
    from linkspan.call.records import Records

    found = dict.fromkeys((*_in_nftables(host, sets), *_in_iptables(host, chains)))
    records = Records(host, plugin)
    return tuple(each for each in found if records.read(each) is None)


def stale(request: Request, found: Iterable[Attachment]) -> Iterator[Attachment]:
    """Those of the attachments that a GC of their network removes."""
    valid = request.valid_attachments
    for each in found if valid is not None else ():
        if each.network == request.network and (each.container_id, each.ifname) not in (valid or ()):
            yield each


def _in_nftables(host: Host, sets: Iterable[str]) -> Iterator[Attachment]:
    from linkspan.netfilter.nft_table import attachment_of

    if host.nftables.usable():
        for name in sets:
            for element in host.nftables.elements(name):
                attachment = attachment_of(element.comment)
                if attachment is not None:
                    yield attachment


def _in_iptables(host: Host, chains: Mapping[str, Sequence[str]]) -> Iterator[Attachment]:
    from linkspan.cni.addresses import FAMILIES
    from linkspan.netfilter.iptables_names import attachment_in
    from linkspan.steps.iptables import usable_families

    for family in usable_families(host, FAMILIES):
        for table, names in chains.items():
            if host.iptables.readable(family, table):
                rules = host.iptables.rules(family, table)
                for rule in (rule for name in names for rule in rules.get(name, ())):
                    attachment = attachment_in(rule)
                    if attachment is not None:
                        yield attachment
