"""The MAC filter of an attachment's host end."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cni_bridge import rules_nftables
from linkspan.call.transaction import Undo, attempt
from linkspan.cni.errors import KernelRefused
from linkspan.netfilter.nft_table import port_table
from linkspan.netfilter.rules import NftChange

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True)
class FilterMac:
    """Drop frames from the container whose source MAC address is not `mac`. Repeating it changes nothing."""

    attachment: Attachment
    mac: str

    def do(self, host: Host) -> Undo:
        return attempt(host, lambda: self._apply(host), lambda: remove_mac_filter(host, self.attachment))

    def _apply(self, host: Host) -> None:
        host.nftables.apply(NftChange(commands=rules_nftables.commands(self.attachment, self.mac)))

    def missing(self, host: Host) -> list[str]:
        """What is not there, as sentences."""
        table = port_table(self.attachment)
        rules = host.nftables.chain(rules_nftables.CHAIN, table) or ()
        if any(rules_nftables.rule(self.mac) in each for each in rules):
            return []
        return [f"frames with foreign MAC addresses are not dropped: the nftables table {table} has no rule"]


def remove_mac_filter(host: Host, attachment: Attachment) -> None:
    """Remove an attachment's MAC filter, if there is one, without listing anything."""
    if not host.nftables.usable():
        return
    host.nftables.apply(NftChange(commands=rules_nftables.removal(attachment)))
    try:
        host.nftables.apply(NftChange(commands=rules_nftables.removal_of_earlier_builds(attachment)))
    except KernelRefused as error:
        if error.errno != errno.ENOENT:
            raise
