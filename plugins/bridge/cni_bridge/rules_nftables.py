"""The MAC filter (`macspoofchk`) as nft commands. Pure.

A chain of our table is hooked to the ingress of each filtered host end: a packet meets the one rule that
concerns it, whatever the number of containers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkspan.netfilter.nft_table import without_chain
from linkspan.netfilter.nft_text import TABLE

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment


def chain_name(attachment: Attachment) -> str:
    """The attachment's chain."""
    return f"spoof_{attachment.key[:16]}"


def rule(mac: str) -> str:
    """The chain's rule, which drops frames with a source MAC address other than `mac`."""
    return f"ether saddr != {mac} drop"


def commands(attachment: Attachment, mac: str) -> tuple[str, ...]:
    """Create the chain with its rule, replacing an earlier one."""
    chain = chain_name(attachment)
    hook = f'type filter hook ingress device "{attachment.host_veth}" priority raw; policy accept;'
    return (
        *without_chain(chain),
        f"add chain {TABLE} {chain} {{ {hook} }}",
        f"add rule {TABLE} {chain} {rule(mac)}",
    )


def removal(attachment: Attachment) -> tuple[str, ...]:
    """Delete the chain; an absent one is fine, an absent table is not."""
    return without_chain(chain_name(attachment))
