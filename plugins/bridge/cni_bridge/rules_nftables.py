"""The MAC filter (`macspoofchk`) as nft commands. Pure.

A chain is hooked to the ingress of each filtered host end, before anything else there: a frame meets the one
rule that concerns it, whatever the number of containers. The family is netdev, because a chain of family inet
sees IP and IPv6 only (net/netfilter/nft_chain_filter.c): with one ARP frame from the MAC address of another
container, a container would take over its traffic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkspan.netfilter.nft_table import port_table, without_chain

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment


#: The chain in the attachment's own table.
CHAIN = "ingress"


def rule(mac: str) -> str:
    """The chain's rule, which drops frames with a source MAC address other than `mac`."""
    return f"ether saddr != {mac} drop"


def commands(attachment: Attachment, mac: str) -> tuple[str, ...]:
    """Create the attachment's table with the chain and its rule, replacing an earlier one."""
    table = port_table(attachment)
    # nft 1.0.6 has no name for this priority in the family netdev: -300 is `raw`.
    hook = f'type filter hook ingress device "{attachment.host_veth}" priority -300; policy accept;'
    return (
        *removal(attachment),
        f"add table {table}",
        f"add chain {table} {CHAIN} {{ {hook} }}",
        f"add rule {table} {CHAIN} {rule(mac)}",
    )


def removal(attachment: Attachment) -> tuple[str, ...]:
    """Delete the attachment's table, which outlives the interface; an absent one is fine."""
    return (f"add table {port_table(attachment)}", f"delete table {port_table(attachment)}")


def removal_of_earlier_builds(attachment: Attachment) -> tuple[str, ...]:
    """Delete the chain that earlier builds had in the main table; without that table there is none."""
    return without_chain(f"spoof_{attachment.key[:16]}")
