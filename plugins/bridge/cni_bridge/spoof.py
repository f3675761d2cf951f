"""Dropping what a container sends from a MAC address that is not its own (`macspoofchk`).

A chain of our table hangs at the entry of each guarded host end, so that a packet meets the one rule that concerns it, however many
containers there are.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from linkspan.call.transaction import Undo
from linkspan.cni.errors import KernelRefused
from linkspan.netfilter.nft_table import without_chain
from linkspan.netfilter.nft_text import TABLE
from linkspan.netfilter.rules import NftChange
from linkspan.steps.nft_table import preparation

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True)
class Guard:
    """Let pass only frames from `mac`."""

    attachment: Attachment
    mac: str

    def do(self, host: Host) -> Undo:
        guard(host, self.attachment, self.mac)
        return lambda: unguard(host, self.attachment)


def chain_name(attachment: Attachment) -> str:
    """The attachment's chain."""
    return f"spoof_{attachment.key[:16]}"


def guard(host: Host, attachment: Attachment, mac: str) -> None:
    """Make the chain and its rule anew; repeating it changes nothing."""
    chain, device = chain_name(attachment), attachment.host_veth
    hook = f'type filter hook ingress device "{device}" priority raw; policy accept;'
    host.nftables.apply(
        NftChange(
            commands=(
                *preparation(host),
                *without_chain(chain),
                f"add chain {TABLE} {chain} {{ {hook} }}",
                f"add rule {TABLE} {chain} ether saddr != {mac} drop",
            )
        )
    )


def unguard(host: Host, attachment: Attachment) -> None:
    """Remove the chain; absent is fine, and so is the whole table. Nothing is listed."""
    if not host.nftables.usable():
        return
    try:
        host.nftables.apply(NftChange(commands=without_chain(chain_name(attachment))))
    except KernelRefused as error:
        if error.errno != errno.ENOENT:
            raise


def missing(host: Host, attachment: Attachment, mac: str) -> list[str]:
    """What CHECK misses, as sentences."""
    rules = host.nftables.chain(chain_name(attachment)) or ()
    if any(f"ether saddr != {mac} drop" in each for each in rules):
        return []
    return [
        f"foreign MAC addresses are not dropped: the nftables chain {chain_name(attachment)} lacks its rule"
    ]
