"""The MAC filter of an attachment's host end."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cni_bridge import rules_nftables
from linkspan.call.transaction import Undo, attempt
from linkspan.cni.errors import KernelRefused
from linkspan.netfilter.rules import NftChange
from linkspan.steps.nft_table import preparation

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
        commands = rules_nftables.commands(self.attachment, self.mac)
        host.nftables.apply(NftChange(commands=(*preparation(host), *commands)))

    def missing(self, host: Host) -> list[str]:
        """What is not there, as sentences."""
        chain = rules_nftables.chain_name(self.attachment)
        if any(rules_nftables.rule(self.mac) in each for each in host.nftables.chain(chain) or ()):
            return []
        return [f"frames with foreign MAC addresses are not dropped: the nftables chain {chain} has no rule"]


def remove_mac_filter(host: Host, attachment: Attachment) -> None:
    """Remove an attachment's MAC filter, if there is one, without listing anything."""
    if not host.nftables.usable():
        return
    try:
        host.nftables.apply(NftChange(commands=rules_nftables.removal(attachment)))
    except KernelRefused as error:
        if error.errno != errno.ENOENT:
            raise
