"""Rules without a record: what the reference published with nftables, and ours that lost theirs.

Hosts change to linkspan while containers run. The reference's rules have the container's ID and nothing else
as comment, so prevResult shows which of them are this network's.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from linkspan.call.transaction import best_effort
from linkspan.steps import lost

if TYPE_CHECKING:
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host

#: The reference's tables, and the chains of each that have rules for containers.
TABLES = ("ip cni_hostport", "ip6 cni_hostport")
CHAINS = ("hostports", "hostip_hostports", "masquerading")


def has_lost_record(request: Request, host: Host) -> bool:
    """Whether ports may be published for an attachment without a record, because its state was removed."""
    if lost.is_possible(host):
        return True
    from linkspan.netfilter.nft_table import owned

    result = request.prev_result
    known = result.addresses_of(request.ifname) if result is not None else ()
    if not known or not host.nftables.usable():
        return False
    hairpins = (host.nftables.element(f"hairpin{each.family}", (each.ip,)) for each in known)
    return any(owned(each, request.attachment) for each in hairpins)


def remove_rules(request: Request, host: Host) -> None:
    """Delete the reference's rules for the addresses in prevResult, without it all of the container's."""
    if not host.nftables.usable():
        return
    result = request.prev_result
    known = result.addresses_of(request.ifname) if result is not None else ()
    addresses = {each.ip for each in known}
    comment = f'comment "{request.attachment.container_id}"'

    def is_own(rule: str) -> bool:
        return rule.endswith(comment) and (not addresses or destination(rule) in addresses)

    best_effort(
        *(partial(host.nftables.delete_rules, table, chain, is_own) for table in TABLES for chain in CHAINS)
    )


def destination(rule: str) -> str:
    """The container's address in a rule of the reference, which translates or masquerades."""
    before, translates, after = rule.partition(" dnat to ")
    if translates:
        return after.split()[0].rpartition(":")[0].strip("[]")
    return before.partition(" masquerade")[0].rpartition(" ")[2]
