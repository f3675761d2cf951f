"""The filter of the frames that come from an attachment's host end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cni_bridge import rules_nftables
from linkspan.call.transaction import Undo, attempt
from linkspan.cni.errors import ToolMissing
from linkspan.netfilter.nft_table import port_table
from linkspan.netfilter.rules import NftChange
from linkspan.steps.nft_table import remove_chains

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True)
class FilterFrames:
    """Drop what a container must not send. Repeating it changes nothing.

    With `guarded`, frames whose source MAC address is another. With `bound`, which is the container's MAC
    address, tagged frames, and ARP and neighbour discovery for other than its `addresses` (CIDR). Each of the
    two may be "".
    """

    attachment: Attachment
    guarded: str
    bound: str = ""
    addresses: tuple[str, ...] = ()

    def do(self, host: Host) -> Undo:
        return attempt(host, lambda: self._apply(host), lambda: remove_filter(host, self.attachment))

    def _apply(self, host: Host) -> None:
        rules = (*self._mac_rules(), *self._address_rules())
        try:
            host.nftables.apply(NftChange(commands=rules_nftables.commands(self.attachment, rules)))
        except ToolMissing:
            keys = ["macspoofchk"] * bool(self.guarded) + ["arpspoofchk"] * bool(self.bound)
            raise ToolMissing(
                f"$.{keys[0]}: nftables does not work on this host",
                f"install the package libnftables1 (nftables elsewhere), or remove {' and '.join(keys)}",
            ) from None

    def missing(self, host: Host) -> list[str]:
        """What is not there, as sentences."""
        table = port_table(self.attachment)
        printed = host.nftables.chain(rules_nftables.CHAIN, table) or ()
        expected = {
            "frames with foreign MAC addresses are not dropped": self._mac_rules(),
            "ARP and neighbour discovery for foreign addresses are not dropped": self._address_rules(),
        }
        return [
            f"{what}: the nftables table {table} has missing rules"
            for what, rules in expected.items()
            if not all(rules_nftables.is_among(each, printed) for each in rules)
        ]

    def _mac_rules(self) -> tuple[str, ...]:
        return (rules_nftables.mac_rule(self.guarded),) if self.guarded else ()

    def _address_rules(self) -> tuple[str, ...]:
        return rules_nftables.address_rules(self.bound, self.addresses) if self.bound else ()


def remove_filter(host: Host, attachment: Attachment) -> None:
    """Remove an attachment's filter, if there is one, without listing anything."""
    if not host.nftables.usable():
        return
    host.nftables.apply(NftChange(commands=rules_nftables.removal(attachment)))
    remove_chains(host, [rules_nftables.chain_of_earlier_builds(attachment)])
